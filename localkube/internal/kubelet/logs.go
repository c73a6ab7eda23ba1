package kubelet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// beat is how often a pretended container says something.
	beat = 10 * time.Second
	// keep is how many of those lines there are: the older ones are rotated away.
	keep = 1000
	// look is how often somebody who follows is given what is new.
	look = 250 * time.Millisecond
)

// loggable says whether a container has the log that is asked for, in the kubelet's words.
func loggable(p *corev1.Pod, name string, opts *corev1.PodLogOptions) error {
	c, st := find(p, name)
	if c == nil {
		return fmt.Errorf("container %q in pod %q is not available", name, p.Name)
	}
	if opts.Previous {
		return fmt.Errorf("previous terminated container %q in pod %q not found", name, p.Name)
	}
	if begin, _, ok := span(st); !ok || begin.IsZero() {
		return fmt.Errorf("container %q in pod %q is waiting to start: ContainerCreating", name, p.Name)
	}
	return nil
}

// span is when a container began, and when it ended if it did.
func span(st *corev1.ContainerStatus) (begin, end time.Time, ok bool) {
	switch {
	case st == nil:
		return begin, end, false
	case st.State.Running != nil:
		return st.State.Running.StartedAt.Time, end, true
	case st.State.Terminated != nil:
		return st.State.Terminated.StartedAt.Time, st.State.Terminated.FinishedAt.Time, true
	}
	return begin, end, false
}

// entry is one line of a log.
type entry struct {
	at   time.Time
	text string
}

// entries are the lines of a container from number from on, as of now. A container's log follows from its times: it is the
// same whenever it is read.
func entries(p *corev1.Pod, name string, from int, now time.Time) []entry {
	c, st := find(p, name)
	begin, end, ok := span(st)
	if c == nil || !ok {
		return nil
	}
	until := now
	if !end.IsZero() {
		until = end
	}
	beats := int(until.Sub(begin) / beat)
	var out []entry
	if from == 0 {
		out = append(out, entry{begin, fmt.Sprintf("keyreeve: container %s of pod %s/%s is pretended on node %s: its image, %s, does not run",
			name, p.Namespace, p.Name, p.Spec.NodeName, c.Image)})
	}
	for n := max(1, from, beats-keep+1); n <= beats; n++ {
		out = append(out, entry{begin.Add(time.Duration(n) * beat), fmt.Sprintf("keyreeve: pretended for %s", time.Duration(n)*beat)})
	}
	if !end.IsZero() && from <= beats+1 {
		out = append(out, entry{end, "keyreeve: ended"})
	}
	return out
}

// sink takes a log, at once when it is told to.
type sink interface {
	io.Writer
	Flush()
}

// streamSink is a stream: it holds nothing back.
type streamSink struct{ io.Writer }

func (streamSink) Flush() {}

// logs is one reading of a container's log.
type logs struct {
	kubelet   *Kubelet
	namespace string
	pod       *corev1.Pod
	container string
	opts      *corev1.PodLogOptions
}

// write writes what there is, and what comes if that was asked for, until the container has ended or is gone.
func (l *logs) write(ctx context.Context, w sink) {
	now := l.kubelet.Now()
	first := entries(l.pod, l.container, 0, now)
	if !l.put(w, l.wanted(first, now)) {
		return
	}
	seen := l.next(now)
	if !l.opts.Follow {
		return
	}
	w.Flush()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !over(l.pod, l.container) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p, ok := l.kubelet.cluster.Load().Pod(l.namespace, l.pod.Name)
		if !ok || p.UID != l.pod.UID {
			return
		}
		l.pod, now = p, l.kubelet.Now()
		fresh := entries(p, l.container, seen, now)
		if len(fresh) == 0 {
			continue
		}
		if !l.put(w, fresh) {
			return
		}
		seen = l.next(now)
		w.Flush()
	}
}

// next is the number of the first line that is not there yet.
func (l *logs) next(now time.Time) int {
	_, st := find(l.pod, l.container)
	begin, end, _ := span(st)
	if !end.IsZero() {
		return int(end.Sub(begin)/beat) + 2
	}
	return int(now.Sub(begin)/beat) + 1
}

func over(p *corev1.Pod, name string) bool {
	_, st := find(p, name)
	_, end, ok := span(st)
	return !ok || !end.IsZero()
}

// wanted are the entries that the options ask for.
func (l *logs) wanted(all []entry, now time.Time) []entry {
	since := time.Time{}
	if s := l.opts.SinceSeconds; s != nil {
		since = now.Add(-time.Duration(*s) * time.Second)
	}
	if s := l.opts.SinceTime; s != nil {
		since = s.Time
	}
	for len(all) > 0 && all[0].at.Before(since) {
		all = all[1:]
	}
	if n := l.opts.TailLines; n != nil && *n >= 0 && int64(len(all)) > *n {
		all = all[int64(len(all))-*n:]
	}
	// A pretended container writes to standard output only.
	if l.opts.Stream != nil && *l.opts.Stream == corev1.LogStreamStderr {
		return nil
	}
	return all
}

// put writes entries, and reports whether more is wanted.
func (l *logs) put(w io.Writer, list []entry) bool {
	for _, e := range list {
		stamp := ""
		if l.opts.Timestamps {
			stamp = e.at.UTC().Format(time.RFC3339Nano) + " "
		}
		if _, err := io.WriteString(w, stamp+e.text+"\n"); err != nil {
			return false
		}
	}
	return true
}

// limited is a response that ends after so many bytes.
type limited struct {
	w    http.ResponseWriter
	left *int64
}

func newLimited(w http.ResponseWriter, limit *int64) *limited {
	if limit == nil {
		return &limited{w: w}
	}
	left := *limit
	return &limited{w, &left}
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left != nil && int64(len(p)) > *l.left {
		n, err := l.w.Write(p[:*l.left])
		*l.left -= int64(n)
		if err == nil {
			err = io.ErrShortWrite
		}
		return n, err
	}
	n, err := l.w.Write(p)
	if l.left != nil {
		*l.left -= int64(n)
	}
	return n, err
}

// Flush sends what was written.
func (l *limited) Flush() { _ = http.NewResponseController(l.w).Flush() }
