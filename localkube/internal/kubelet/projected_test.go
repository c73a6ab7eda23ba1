package kubelet

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestProjectedTokens: a container has the tokens of the volumes that are mounted into it, whole, and of no others.
func TestProjectedTokens(t *testing.T) {
	volume := func(name string, sources ...corev1.VolumeProjection) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}}
	}
	token := func(audience, path string) corev1.VolumeProjection {
		return corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience, Path: path}}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{
		volume("two", token("a", "dir/one"), corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{}}, token("", "two")),
		volume("other", token("o", "t")), volume("part", token("p", "t")),
		{Name: "empty"},
	}}}
	in := &corev1.Container{VolumeMounts: []corev1.VolumeMount{
		{Name: "two", MountPath: "/var/run/"}, {Name: "part", MountPath: "/part", SubPath: "t"}, {Name: "empty", MountPath: "/e"}, {Name: "none", MountPath: "/n"},
	}}
	c := &Cluster{Token: func(_ context.Context, p *corev1.Pod, t *corev1.ServiceAccountTokenProjection) (string, error) {
		if p != pod {
			return "of another pod", nil
		}
		return "for " + t.Audience, nil
	}}
	got := projectedTokens(t.Context(), c, pod, in)
	if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != "/var/run/dir/one /var/run/two" {
		t.Error(names)
	}
	if text, err := got["/var/run/dir/one"](); text != "for a" || err != nil {
		t.Error(text, err)
	}
	if names := strings.Join(got.below("/var/run/dir"), " "); names != "/var/run/dir/one" {
		t.Error(names)
	}
}
