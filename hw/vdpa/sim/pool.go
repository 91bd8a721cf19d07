package sim

import (
	"sync"

	"github.com/gqemu/gqemu/hw/virtio/vring"
)

// gate keeps what requests work on from changing under them. A request that is
// under way holds it for reading; one that goes on without its queue's
// goroutine is counted in flight instead, and Lock waits for it too.
type gate struct {
	sync.RWMutex
	// flying counts requests. It grows with the gate held for reading only.
	flying sync.WaitGroup
}

// Lock waits for all requests under way. No further one begins until Unlock.
func (g *gate) Lock() {
	g.RWMutex.Lock()
	g.flying.Wait()
}

// maxJobs is how many requests of a device wait for their medium at once, each
// on a goroutine and, in a system call, a thread. Others wait on their queue's.
const maxJobs = 32

// job is a request that goes on without its queue's goroutine. It is used again.
type job struct {
	n       int // its queue
	ring    *vring.Queue
	chain   vring.Chain
	out, in [][]byte // the chain's lists, which requests shorten
	request blkRequest
}

// pool is the goroutines that carry jobs out. There are none before the first.
type pool struct {
	once  sync.Once
	tasks sync.WaitGroup
	jobs  chan *job
	free  chan *job
}

// job gives a job for a chain of queue n, nil when there are too many. It is
// called in serve; what it gives is handed to send.
func (d *device) job(n int, q *vring.Queue, c *vring.Chain) *job {
	p := &d.pool
	p.once.Do(func() {
		p.jobs, p.free = make(chan *job, maxJobs), make(chan *job, maxJobs)
		for range maxJobs {
			p.free <- new(job)
			p.tasks.Go(func() {
				for j := range p.jobs {
					d.finish(j, j.request.perform(&j.chain))
				}
			})
		}
	})
	select {
	case j := <-p.free:
		j.out, j.in = append(j.out[:0], c.Out...), append(j.in[:0], c.In...)
		j.n, j.ring, j.chain = n, q, *c
		j.chain.Out, j.chain.In = j.out, j.in
		return j
	default:
		return nil
	}
}

// send has a job carried out.
func (d *device) send(j *job) {
	d.io.flying.Add(1)
	d.pool.jobs <- j // there is room for all
}

// finish hands a job's chain back. The gate is not held: whoever has it for
// writing waits for the job.
func (d *device) finish(j *job, written uint32) {
	q := &d.queues[j.n]
	q.mu.Lock()
	if q.ring == j.ring { // unless the driver broke it meanwhile
		if err := j.ring.Push(&j.chain, written); err != nil {
			d.broke(j.n, err)
		} else {
			d.interrupt(j.n)
		}
	}
	q.mu.Unlock()
	clear(j.out) // the guest's memory may go
	clear(j.in)
	j.ring, j.chain = nil, vring.Chain{}
	d.pool.free <- j
	d.io.flying.Done()
}

// close ends the goroutines. No job is under way.
func (p *pool) close() {
	if p.jobs != nil {
		close(p.jobs)
		p.tasks.Wait()
	}
}
