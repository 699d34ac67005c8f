package main

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func compute(end time.Time) {
	for time.Now().Before(end) {
		for until := time.Now().Add(50 * time.Millisecond); time.Now().Before(until); {
		}
		runtime.Gosched()
	}
}

// Runs each of them, beside what computes, until the end of the time that is measured.
func besideComputing(t *timing, many int, each func(end time.Time) []time.Duration) {
	delays := make([][]time.Duration, many)
	end := time.Now().Add(t.seconds)
	var all sync.WaitGroup
	all.Add(many + 1)
	for i := range delays {
		go func(i int) {
			delays[i] = each(end)
			all.Done()
		}(i)
	}
	go func() {
		compute(end)
		all.Done()
	}()
	all.Wait()
	for _, some := range delays {
		t.delays = append(t.delays, some...)
	}
}

func lateTimers(t *timing) {
	besideComputing(t, 100, func(end time.Time) (late []time.Duration) {
		for {
			due := time.Now().Add(time.Millisecond)
			if !due.Before(end) {
				return
			}
			time.Sleep(time.Millisecond)
			late = append(late, time.Since(due))
		}
	})
}

func socketPair() (net.Conn, net.Conn) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	connection := func(descriptor int) net.Conn {
		file := os.NewFile(uintptr(descriptor), "")
		defer file.Close()
		c, err := net.FileConn(file)
		if err != nil {
			panic(err)
		}
		return c
	}
	return connection(ends[0]), connection(ends[1])
}

func lateEcho(t *timing) {
	besideComputing(t, 20, func(end time.Time) (took []time.Duration) {
		here, there := socketPair()
		defer here.Close()
		go func() {
			defer there.Close()
			var b [1]byte
			for {
				if _, err := there.Read(b[:]); err != nil {
					return
				}
				there.Write(b[:])
			}
		}()
		var b [1]byte
		for begin := time.Now(); begin.Before(end); begin = time.Now() {
			here.Write(b[:])
			if _, err := here.Read(b[:]); err != nil {
				panic(err)
			}
			took = append(took, time.Since(begin))
		}
		return
	})
}
