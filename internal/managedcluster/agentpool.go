package managedcluster

import (
	"errors"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Agent pools as resources of their own.

// PoolChange says what a request of an agent pool does.
type PoolChange struct {
	Name    string
	Created bool
	// Nodes is true when the running cluster must get other nodes.
	Nodes bool
	// Before is the pool as it was; zero for a new one.
	Before Pool
}

// Pool returns an agent pool by name, without case.
func (c *Cluster) Pool(name string) (Pool, bool) {
	i := c.poolIndex(name)
	if i < 0 {
		return Pool{}, false
	}
	return c.Pools[i], true
}

// PoolVersion returns the version that an agent pool is named for.
func (c *Cluster) PoolVersion(name string) string {
	bodies, _ := (&reader{o: c.properties()}).pools()
	if at := c.poolIndex(name); at >= 0 && at < len(bodies) {
		asked, _ := (&reader{o: bodies[at]}).text("orchestratorVersion")
		if v, err := ResolveVersion(asked); err == nil {
			return v
		}
	}
	return c.Version()
}

// PoolsSettled reports whether every agent pool is as the cluster is.
func (c *Cluster) PoolsSettled() bool {
	return !slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.State != "" })
}

func (c *Cluster) poolIndex(name string) int {
	return slices.IndexFunc(c.Pools, func(p Pool) bool { return strings.EqualFold(p.Name, name) })
}

// parsePool reads the body of a PUT of an agent pool: its properties, and the power state asked for.
func parsePool(body []byte) (props *object, stopped *bool, err error) {
	top, err := parseObject(body, []string{"id", "name", "type", "properties"})
	if err != nil {
		what := "the body is not one JSON object"
		if !errors.Is(err, errNotObject) {
			what = err.Error()
		}
		return nil, nil, fault.New(fault.Invalid, "InvalidRequestContent",
			"The request content was invalid and could not be deserialized: '%s'.", what).Because(err)
	}
	r := &reader{o: top}
	if props = r.object("properties", poolKeys()); props == nil {
		props = newObject()
	}
	p := &reader{o: props, path: "agentPoolProfile"}
	if state := p.object("powerState", []string{"code"}); state != nil {
		s := &reader{o: state, path: "agentPoolProfile.powerState"}
		code, _ := s.text("code")
		switch code = canonical(code, Running, Stopped); code {
		case Running, Stopped:
			off := code == Stopped
			stopped = &off
		case "":
		default:
			s.fail(invalidParameter("agentPoolProfile.powerState.code", "'%s' is neither Running nor Stopped.", cut(code)))
		}
		p.fail(s.err)
	}
	r.fail(p.err)
	return props, stopped, r.err
}

// PutPool returns the cluster with an agent pool made, or changed, as the body of a PUT says.
func (c *Cluster) PutPool(name string, body []byte) (Cluster, PoolChange, error) {
	none := PoolChange{}
	if c.IsAttached() {
		return Cluster{}, none, invalidParameter("agentPoolProfiles", "The nodes of an attached cluster are not managed here.")
	}
	o, stopped, err := parsePool(body)
	if err != nil {
		return Cluster{}, none, err
	}
	after := *c
	props := c.properties()
	bodies, _ := (&reader{o: props}).pools()
	pools := slices.Clone(c.Pools)
	at := c.poolIndex(name)
	change := PoolChange{Name: name, Created: at < 0}
	var old *object
	if at >= 0 && at < len(bodies) {
		change.Name, change.Before, old = pools[at].Name, pools[at], bodies[at]
	}
	o.put("name", change.Name)
	p, err := readPool(o, old, c.Version(), ModeUser)
	if err != nil {
		return Cluster{}, none, err
	}
	if p.Stopped = change.Before.Stopped; stopped != nil {
		p.Stopped = *stopped
	}
	if change.Created {
		pools, bodies = append(pools, p), append(bodies, o)
	} else {
		if p.VMSize != change.Before.VMSize {
			return Cluster{}, none, notAllowed("agentPoolProfile.vmSize")
		}
		pools[at], bodies[at] = p, o
	}
	total := 0
	for _, p := range pools {
		total += p.Count
	}
	if err := errors.Join(checkPools(pools), c.checkRoom(total)); err != nil {
		return Cluster{}, none, err
	}
	change.Nodes = change.Created || !samePools([]Pool{change.Before}, []Pool{p})
	after.Pools = pools
	props.put("agentPoolProfiles", bodies)
	after.setProperties(props)
	return after, change, nil
}

// DeletePool returns the cluster with an agent pool that is being deleted. Remove takes it out once its nodes are gone.
func (c *Cluster) DeletePool(name string) (Cluster, error) {
	at := c.poolIndex(name)
	after := *c
	after.Pools = slices.Clone(c.Pools)
	after.Pools[at].State = Deleting
	if err := checkPools(after.Pools); err != nil {
		return Cluster{}, err
	}
	return after, nil
}

// MarkPool returns the cluster with the provisioning state of an agent pool set; empty is the cluster's own.
func (c *Cluster) MarkPool(name, state string) Cluster {
	after := *c
	after.Pools = slices.Clone(c.Pools)
	if at := c.poolIndex(name); at >= 0 {
		after.Pools[at].State = state
	}
	return after
}

// Settled returns the cluster as it is once what was recorded of its agent pools is true of its nodes: those that were
// being deleted are gone, and none is in a state of its own.
func (c *Cluster) Settled() Cluster {
	after := *c
	after.Pools = nil
	props := c.properties()
	bodies, _ := (&reader{o: props}).pools()
	kept := []*object{}
	for i, p := range c.Pools {
		if p.State == Deleting {
			continue
		}
		p.State = ""
		after.Pools = append(after.Pools, p)
		if i < len(bodies) {
			kept = append(kept, bodies[i])
		}
	}
	if len(kept) < len(bodies) {
		props.put("agentPoolProfiles", kept)
		after.setProperties(props)
	}
	return after
}

// RestorePool returns the cluster with an agent pool failed and its count as it was before: what could not be done was
// not done.
func (c *Cluster) RestorePool(before Pool) Cluster {
	after := c.MarkPool(before.Name, Failed)
	at := after.poolIndex(before.Name)
	if at < 0 {
		return after
	}
	after.Pools[at].Count, after.Pools[at].Stopped = before.Count, before.Stopped
	props := after.properties()
	bodies, _ := (&reader{o: props}).pools()
	if at < len(bodies) {
		bodies[at].put("count", before.Count)
		props.put("agentPoolProfiles", bodies)
		after.setProperties(props)
	}
	return after
}

// Power returns the cluster as it is while it is started or stopped.
func (c *Cluster) Power(state string) (Cluster, error) {
	verb, doing := "starting", Starting
	if state == Stopped {
		verb, doing = "stopping", Stopping
	}
	if c.IsAttached() {
		return Cluster{}, fault.New(fault.Invalid, "OperationNotAllowed", "The managed cluster '%s' is attached: it is started and stopped where it runs.", c.Name)
	}
	if c.PowerState == state && c.ProvisioningState == Succeeded {
		return Cluster{}, fault.New(fault.Conflict, "OperationNotAllowed",
			"managed cluster is in Provisioning State(%s) and Power State(%s), %s cannot be performed", c.ProvisioningState, c.PowerState, verb)
	}
	after := *c
	after.PowerState, after.ProvisioningState = state, doing
	return after, nil
}

// Powered refuses a change of a cluster that is stopped: only starting and deleting it are possible.
func (c *Cluster) Powered() error {
	if c.PowerState != Stopped {
		return nil
	}
	return fault.New(fault.Conflict, "OperationNotAllowed",
		"managed cluster is in Provisioning State(%s) and Power State(%s), only starting and deleting can be performed", c.ProvisioningState, c.PowerState)
}
