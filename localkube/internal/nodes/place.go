package nodes

import (
	"encoding/binary"
	"net/netip"
)

// Place is where a node is in the cluster's networks.
type Place struct {
	// Host is the node's own address.
	Host netip.Addr
	// Pods is the range that the node's pods take their addresses from.
	Pods netip.Prefix
}

// nodeBits is the prefix length of the range that each node takes of the cluster's pod range.
const nodeBits = 24

// hostBase is the first address of the network that nodes pretend to be in, and hostSkip how many of its first
// addresses are the network's own, as in a subnet of Azure.
const hostSkip = 4

func hostBase() netip.Addr { return netip.AddrFrom4([4]byte{10, 224, 0, 0}) }

// placeAt is the place with the given number in a cluster's pod range.
func placeAt(pods netip.Prefix, index int) Place {
	return Place{
		Host: plus(hostBase(), uint32(index)+hostSkip),
		Pods: netip.PrefixFrom(plus(pods.Addr(), uint32(index)<<(32-nodeBits)), nodeBits),
	}
}

// indexOf is the inverse of placeAt for a range that a node already has.
func indexOf(pods netip.Prefix, cidr string) (int, bool) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || p.Bits() != nodeBits || !pods.Contains(p.Addr()) {
		return 0, false
	}
	return int((number(p.Addr()) - number(pods.Addr())) >> (32 - nodeBits)), true
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func plus(a netip.Addr, n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], number(a)+n)
	return netip.AddrFrom4(b)
}
