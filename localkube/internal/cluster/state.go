package cluster

import (
	"os"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/localkube/internal/control"
	"github.com/keyreeve/keyreeve/localkube/internal/nodes"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// state is what the control API shows and changes. The nodes may be replaced before their keeper is there.
type state struct {
	spec    *spec.Spec
	version string
	started time.Time

	mu     sync.Mutex
	phase  control.Phase
	keeper *nodes.Keeper
	nodes  []spec.Node
}

func newState(s *spec.Spec, version string, now time.Time) *state {
	return &state{spec: s, version: version, started: now, phase: control.Starting, nodes: s.Nodes}
}

func (s *state) status() control.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := control.Status{
		Name: s.spec.Name, PID: os.Getpid(), Generation: s.spec.Generation, Phase: s.phase,
		StartedAt: s.started, Version: s.version, Nodes: control.NodeCount{Want: len(s.nodes)},
	}
	if s.keeper != nil {
		st.Nodes.Want, st.Nodes.Ready = s.keeper.Count()
	}
	st.Ready = s.phase == control.Ready && st.Nodes.Ready >= st.Nodes.Want
	return st
}

// enter goes on to a later phase; there is no way back.
func (s *state) enter(p control.Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != control.Stopping {
		s.phase = p
	}
}

func (s *state) setNodes(list []spec.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = list
	if s.keeper != nil {
		s.keeper.Set(list)
	}
}

// attach hands the nodes over to their keeper.
func (s *state) attach(k *nodes.Keeper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keeper = k
	k.Set(s.nodes)
}
