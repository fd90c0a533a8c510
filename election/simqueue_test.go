package election

import "time"

// job is something that happens in a simulated LAN. The one with the smallest time is
// next, and of several those that were planned first.
type job struct {
	at     time.Duration
	number uint32
	kind   jobKind
	node   uint8
	to     uint64 // Nodes that receive it, a bit each.
	token  int64
	record *Record
	ok     bool
}

type jobKind uint8

const (
	jobWake jobKind = iota
	jobDeliver
	jobLeafStarted
	jobLeafFailed
	jobLeafStopped
	jobVerified
	jobDead
	jobCause
)

// queue is a binary heap of jobs.
type queue struct {
	jobs   []job
	number uint32
}

func (q *queue) before(a, b *job) bool {
	return a.at < b.at || a.at == b.at && a.number < b.number
}

func (q *queue) push(j job) {
	q.number++
	j.number = q.number
	q.jobs = append(q.jobs, j)
	i := len(q.jobs) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.before(&j, &q.jobs[up]) {
			break
		}
		q.jobs[i] = q.jobs[up]
		i = up
	}
	q.jobs[i] = j
}

func (q *queue) pop() job {
	top := q.jobs[0]
	last := len(q.jobs) - 1
	j := q.jobs[last]
	q.jobs[last] = job{}
	q.jobs = q.jobs[:last]
	if last == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && q.before(&q.jobs[down+1], &q.jobs[down]) {
			down++
		}
		if !q.before(&q.jobs[down], &j) {
			break
		}
		q.jobs[i] = q.jobs[down]
		i = down
	}
	q.jobs[i] = j
	return top
}
