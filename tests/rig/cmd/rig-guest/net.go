package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// chunk is what is sent at once, and has a number at its start.
const chunk = 32 << 10

// serveVerb sends what comes on one connection back.
func serveVerb(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: serve ADDR")
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println("SERVING")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	n, err := io.Copy(c, c)
	fmt.Printf("SERVED %d bytes\n", n)
	return err
}

// sendVerb sends numbered chunks of other bytes each and compares what comes
// back.
func sendVerb(args []string) error {
	fs := flag.NewFlagSet("send", flag.ContinueOnError)
	duration := fs.Duration("for", 10*time.Second, "how long")
	if err := fs.Parse(args); err != nil || fs.NArg() != 1 {
		return errors.Join(err, errors.New("usage: send [flags] ADDR"))
	}
	c, err := net.DialTimeout("tcp", fs.Arg(0), 30*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	sent := make(chan error, 1)
	var count uint64
	go func() {
		var err error
		for time.Since(start) < *duration && err == nil {
			_, err = c.Write(chunkData(count))
			count++
		}
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	got := make([]byte, chunk)
	var n uint64
	for ; ; n++ {
		if _, err := io.ReadFull(c, got); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("chunk %d: %w", n, err)
		}
		if string(got) != string(chunkData(n)) {
			return fmt.Errorf("chunk %d came back as another", n)
		}
	}
	if err := <-sent; err != nil {
		return err
	}
	if n != count {
		return fmt.Errorf("%d chunks were sent, %d came back", count, n)
	}
	took := time.Since(start)
	fmt.Printf("SENT %d bytes and got them back in %.1f s: %.2f MiB/s each way\n",
		n*chunk, took.Seconds(), float64(n*chunk)/(1<<20)/took.Seconds())
	return nil
}

func chunkData(n uint64) []byte {
	b := make([]byte, chunk)
	binary.LittleEndian.PutUint64(b, n)
	fill(b[8:], rand.New(rand.NewPCG(n, 0)))
	return b
}
