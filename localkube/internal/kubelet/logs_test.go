package kubelet

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pretended is a pod with one container that began at noon, and ended a while later unless that is 0.
func pretended(ended time.Duration) *corev1.Pod {
	st := corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(noon())}}}
	if ended > 0 {
		st.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			StartedAt: metav1.NewTime(noon()), FinishedAt: metav1.NewTime(noon().Add(ended)),
		}}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-0", UID: "1"},
		Spec:       corev1.PodSpec{NodeName: "node-0", Containers: []corev1.Container{{Name: "main", Image: "nginx"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{st}},
	}
}

// TestLogs: a log follows from a container's times, whenever it is read.
func TestLogs(t *testing.T) {
	const first = "keyreeve: container main of pod default/web-0 is pretended on node node-0: its image, nginx, does not run"
	seconds := func(n int64) *int64 { return &n }
	stderr := corev1.LogStreamStderr
	for name, tt := range map[string]struct {
		at, ended time.Duration
		opts      corev1.PodLogOptions
		want      []string
	}{
		"at once":      {want: []string{first}},
		"later":        {at: 25 * time.Second, want: []string{first, "keyreeve: pretended for 10s", "keyreeve: pretended for 20s"}},
		"ended":        {at: time.Hour, ended: 12 * time.Second, want: []string{first, "keyreeve: pretended for 10s", "keyreeve: ended"}},
		"followed":     {at: time.Hour, ended: 2 * time.Second, opts: corev1.PodLogOptions{Follow: true}, want: []string{first, "keyreeve: ended"}},
		"tail":         {at: 25 * time.Second, opts: corev1.PodLogOptions{TailLines: seconds(1)}, want: []string{"keyreeve: pretended for 20s"}},
		"no tail":      {at: 25 * time.Second, opts: corev1.PodLogOptions{TailLines: seconds(0)}},
		"since":        {at: 25 * time.Second, opts: corev1.PodLogOptions{SinceSeconds: seconds(6)}, want: []string{"keyreeve: pretended for 20s"}},
		"since a time": {at: 25 * time.Second, opts: corev1.PodLogOptions{SinceTime: &metav1.Time{Time: noon().Add(time.Second)}}, want: []string{"keyreeve: pretended for 10s", "keyreeve: pretended for 20s"}},
		"times":        {opts: corev1.PodLogOptions{Timestamps: true}, want: []string{"2026-03-01T12:00:00Z " + first}},
		"limited":      {at: 25 * time.Second, opts: corev1.PodLogOptions{LimitBytes: seconds(8)}, want: []string{"keyreeve"}},
		"errors only":  {opts: corev1.PodLogOptions{Stream: &stderr}},
	} {
		w := httptest.NewRecorder()
		k := &Kubelet{Config: Config{Now: func() time.Time { return noon().Add(tt.at) }}}
		l := &logs{kubelet: k, namespace: "default", pod: pretended(tt.ended), container: "main", opts: &tt.opts}
		l.write(t.Context(), newLimited(w, tt.opts.LimitBytes))
		got := strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
		if len(tt.want) == 0 {
			tt.want = []string{""}
		}
		if strings.Join(got, "|") != strings.Join(tt.want, "|") {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	// A container that has been there for weeks has a log of a bounded length.
	if n := len(entries(pretended(0), "main", 0, noon().Add(1000*time.Hour))); n != keep+1 {
		t.Errorf("%d lines", n)
	}
}

// TestFollowedPieces: lines that are asked for one by one are those of the whole.
func TestFollowedPieces(t *testing.T) {
	p := pretended(47 * time.Second)
	whole := entries(p, "main", 0, noon().Add(time.Hour))
	var pieces []entry
	l := &logs{pod: pretended(0), container: "main"}
	for from, at := 0, time.Duration(0); at <= time.Minute; at += 3 * time.Second {
		now := noon().Add(at)
		if at >= 47*time.Second {
			l.pod = p
		}
		pieces = append(pieces, entries(l.pod, "main", from, now)...)
		from = l.next(now)
	}
	if fmt.Sprint(pieces) != fmt.Sprint(whole) {
		t.Errorf("%v, want %v", pieces, whole)
	}
}
