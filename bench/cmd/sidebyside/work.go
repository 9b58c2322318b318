package main

import (
	"fmt"
	"math"
)

// work is something that all contenders do.
type work struct {
	name   string // for flag -only
	mode   string // of the load
	flows  int
	beside int // downloads under way meanwhile
}

var allWorks = []work{
	{name: "up1", mode: "up", flows: 1},
	{name: "up64", mode: "up", flows: 64},
	{name: "down1", mode: "down", flows: 1},
	{name: "down64", mode: "down", flows: 64},
	{name: "echo64", mode: "echo", flows: 64},
	{name: "http", mode: "http", flows: 64},
	{name: "http-close", mode: "http-close", flows: 64},
	{name: "connect", mode: "connect", flows: 32},
	{name: "exchange", mode: "exchange", flows: 1},
	{name: "exchange-beside", mode: "exchange", flows: 1, beside: 8},
}

// row is a line of the table.
type row struct {
	title string
	work  string
	value func(sample) float64
}

var rows = []row{
	{"upload, 1 flow, Gbit/s", "up1", gigabits},
	{"upload, 64 flows", "up64", gigabits},
	{"download, 1 flow", "down1", gigabits},
	{"download, 64 flows", "down64", gigabits},
	{"echo, 64 flows", "echo64", gigabits},
	{"HTTP keep-alive, 64 connections, requests/s", "http", perSecond},
	{"HTTP, a connection per request", "http-close", perSecond},
	{"connect, one byte each way, close; per second", "connect", perSecond},
	{"one-byte echo, p50, us *", "exchange", p50},
	{"one-byte echo, p99, us *", "exchange", p99},
	{"the same beside 8 downloads, p50 *", "exchange-beside", p50},
	{"the same beside 8 downloads, p99 *", "exchange-beside", p99},
	{"CPU of the machine per GB, 1 upload, s *", "up1", secondsPerGigabyte},
	{"CPU of the machine per GB, 1 download, s *", "down1", secondsPerGigabyte},
}

func gigabits(x sample) float64  { return float64(x.Bytes) * 8 / x.Seconds / 1e9 }
func perSecond(x sample) float64 { return float64(x.Operations) / x.Seconds }
func p50(x sample) float64       { return float64(x.P50.Nanoseconds()) / 1e3 }
func p99(x sample) float64       { return float64(x.P99.Nanoseconds()) / 1e3 }

// secondsPerGigabyte leaves out what other processes used.
func secondsPerGigabyte(x sample) float64 {
	return max(x.Busy-x.Others*x.Seconds, 0) / (float64(x.Bytes) / 1e9)
}

// number has three digits.
func number(v float64) string {
	switch {
	case v == 0 || math.IsNaN(v):
		return ""
	case v >= 1000:
		step := math.Pow(10, math.Floor(math.Log10(v))-2)
		return thousands(int(math.Round(v/step) * step))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
