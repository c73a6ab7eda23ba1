package kubelet

import (
	"context"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// projected are the tokens that a container finds in files, by path: those of its pod's projected volumes. Each is asked for when it
// is read, as a kubelet would have before, bound to the pod, with the audience and the life that the volume names.
type projected map[string]func() (string, error)

// projectedTokens are those of a container. What is mounted in part (subPath) is left out.
func projectedTokens(ctx context.Context, c *Cluster, p *corev1.Pod, in *corev1.Container) projected {
	out := projected{}
	for _, m := range in.VolumeMounts {
		i := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 || p.Spec.Volumes[i].Projected == nil || m.SubPath != "" || m.SubPathExpr != "" {
			continue
		}
		for _, s := range p.Spec.Volumes[i].Projected.Sources {
			if t := s.ServiceAccountToken; t != nil {
				out[absolute(m.MountPath+"/"+t.Path)] = func() (string, error) { return c.Token(ctx, p, t) }
			}
		}
	}
	return out
}

// below are the names of the files below a directory, in order.
func (p projected) below(dir string) []string {
	prefix := strings.TrimSuffix(absolute(dir), "/") + "/"
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p)), func(name string) bool { return !strings.HasPrefix(name, prefix) })
}
