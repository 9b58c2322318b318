package main

import (
	"tcpd/service"
	"tcpd/stack"
)

// heldListener gives a listener of the stack the method that package service asks for, whose result is an interface.
type heldListener struct{ *stack.Listener }

// NextAttempt returns the next client whose SYN waits for an answer.
func (l heldListener) NextAttempt() (service.Attempt, error) {
	a, err := l.Listener.NextAttempt()
	if err != nil {
		return nil, err
	}
	return a, nil
}
