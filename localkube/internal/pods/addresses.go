package pods

import (
	"fmt"
	"net/netip"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// addresses hands out pod addresses. It forgets nothing that it was told is in use.
type addresses struct {
	mu    sync.Mutex
	byIP  map[netip.Addr]types.UID
	byPod map[types.UID]netip.Addr
}

func newAddresses() *addresses {
	return &addresses{byIP: map[netip.Addr]types.UID{}, byPod: map[types.UID]netip.Addr{}}
}

// hold notes that a pod has an address.
func (a *addresses) hold(pod types.UID, ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byIP[ip], a.byPod[pod] = pod, ip
}

// take answers the pod's address, a new one if it has none. The first two and the last of a range are not for pods.
func (a *addresses) take(pod types.UID, from netip.Prefix) (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ip, ok := a.byPod[pod]; ok {
		return ip, nil
	}
	for ip := from.Addr().Next().Next(); from.Contains(ip.Next()); ip = ip.Next() {
		if _, used := a.byIP[ip]; !used {
			a.byIP[ip], a.byPod[pod] = pod, ip
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address is free in %s", from)
}

// free takes a pod's address back.
func (a *addresses) free(pod types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ip, ok := a.byPod[pod]; ok {
		delete(a.byPod, pod)
		delete(a.byIP, ip)
	}
}
