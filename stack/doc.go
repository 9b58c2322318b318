// Package stack runs the protocol of package tcp: it reads packets from a link, keeps time, wakes those who wait, and shows
// connections as net.Listener and net.Conn.
//
// A link has queues, and each queue has a shard: a table of connections with its lock and its timer, and a reader, a goroutine
// that takes packets from the queue and hands each to the shard that owns its flow. Readers, timers and applications work on
// a table in their own goroutine, under the shard's lock, and whoever has changed something sends what follows from it before
// he goes on, unless somebody sends already and takes it along. Bytes are copied, and the link is written, without the lock.
// Applications are woken once for a batch of packets. An idle connection has no goroutine, timer or buffer here.
//
// Locks are taken in this order: Stack.mu, fragments.mu, shard.mu, those of sources, limiter and virtual clock.
package stack
