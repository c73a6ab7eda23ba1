package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// pretendNode is the annotation by which localkube knows its nodes.
const pretendNode = "keyreeve.io/pretend-node"

// drainPoll is the pause between looks at what is left on a node.
const drainPoll = 250 * time.Millisecond

type drainNode struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Unschedulable bool `json:"unschedulable"`
	} `json:"spec"`
}

type drainPod struct {
	Metadata struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp *string           `json:"deletionTimestamp"`
		OwnerReferences   []struct {
			Kind       string `json:"kind"`
			Controller bool   `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// stays reports whether a pod is none that draining waits for: it goes with its node, or has ended.
func (p drainPod) stays() bool {
	if p.Metadata.Annotations["kubernetes.io/config.mirror"] != "" || p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" {
		return true
	}
	for _, o := range p.Metadata.OwnerReferences {
		if o.Controller && o.Kind == "DaemonSet" {
			return true
		}
	}
	return false
}

func (p drainPod) String() string { return p.Metadata.Namespace + "/" + p.Metadata.Name }

// Drain moves what runs on nodes that the description does not have any more to others: it closes them to new pods and
// evicts those that are there, which disruption budgets may forbid. When ctx ends first, the nodes are open again and the
// error is a cluster.NotDrainedError.
func (s *Supervisor) Drain(ctx context.Context, d cluster.Desired) error {
	operator, err := d.Secrets.IssueMasters("keyreeve-drain", s.Now(), pki.OperatorLife)
	if err != nil {
		return err
	}
	client, err := apiClient(d.Secrets.Cluster.Cert, operator)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	dr := drain{client: client, host: "https://" + d.Endpoint}
	leaving, err := dr.leaving(ctx, d)
	if err != nil {
		return err
	}
	closed := []string{}
	for _, n := range leaving {
		if n.Spec.Unschedulable {
			continue
		}
		if err := dr.cordon(ctx, n.Metadata.Name, true); err != nil {
			return errors.Join(err, dr.reopen(ctx, closed))
		}
		closed = append(closed, n.Metadata.Name)
	}
	for _, n := range leaving {
		if err := dr.empty(ctx, n.Metadata.Name); err != nil {
			return errors.Join(err, dr.reopen(ctx, closed))
		}
	}
	return nil
}

// drain speaks to one API server.
type drain struct {
	client *http.Client
	host   string
}

// leaving returns our nodes that a description does not have.
func (dr drain) leaving(ctx context.Context, d cluster.Desired) ([]drainNode, error) {
	var list struct {
		Items []drainNode `json:"items"`
	}
	if _, err := dr.call(ctx, http.MethodGet, "/api/v1/nodes", "", nil, &list); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(n drainNode) bool {
		_, ours := n.Metadata.Annotations[pretendNode]
		return !ours || slices.ContainsFunc(d.Nodes, func(w cluster.Node) bool { return w.Name == n.Metadata.Name })
	}), nil
}

func (dr drain) cordon(ctx context.Context, node string, closed bool) error {
	body := map[string]any{"spec": map[string]any{"unschedulable": closed}}
	code, err := dr.call(ctx, http.MethodPatch, "/api/v1/nodes/"+node, "application/merge-patch+json", body, nil)
	if code == http.StatusNotFound {
		return nil
	}
	return err
}

// reopen opens nodes that were closed, also when the caller's time is over.
func (dr drain) reopen(ctx context.Context, nodes []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	var all error
	for _, n := range nodes {
		all = errors.Join(all, dr.cordon(ctx, n, false))
	}
	return all
}

// empty evicts a node's pods and waits until they are gone.
func (dr drain) empty(ctx context.Context, node string) error {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	var left []string
	for {
		pods, err := dr.pods(ctx, node)
		if ctx.Err() != nil {
			return &cluster.NotDrainedError{Node: node, Pods: left}
		}
		if err != nil {
			return err
		}
		if len(pods) == 0 {
			return nil
		}
		left = left[:0]
		for _, p := range pods {
			left = append(left, p.String())
			if p.Metadata.DeletionTimestamp != nil {
				continue
			}
			if err := dr.evict(ctx, p); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &cluster.NotDrainedError{Node: node, Pods: left}
		}
	}
}

func (dr drain) pods(ctx context.Context, node string) ([]drainPod, error) {
	var list struct {
		Items []drainPod `json:"items"`
	}
	q := url.Values{"fieldSelector": {"spec.nodeName=" + node}}
	if _, err := dr.call(ctx, http.MethodGet, "/api/v1/pods?"+q.Encode(), "", nil, &list); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, drainPod.stays), nil
}

// evict asks for a pod's eviction; that a disruption budget forbids it now is no error, nor that it is gone.
func (dr drain) evict(ctx context.Context, p drainPod) error {
	body := map[string]any{
		"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]string{"name": p.Metadata.Name, "namespace": p.Metadata.Namespace},
	}
	path := "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name + "/eviction"
	code, err := dr.call(ctx, http.MethodPost, path, "application/json", body, nil)
	if code == http.StatusTooManyRequests || code == http.StatusNotFound || code == http.StatusConflict {
		return nil
	}
	return err
}

// maxList bounds an answer: the pods of a node are at most some hundred.
const maxList = 64 << 20

// call makes a request. The status is 0 when there was no answer.
func (dr drain) call(ctx context.Context, method, path, contentType string, body, into any) (int, error) {
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, fmt.Errorf("drain: %w", err)
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, dr.host+path, payload)
	if err != nil {
		return 0, fmt.Errorf("drain: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := dr.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("drain: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxList))
	if err != nil {
		return resp.StatusCode, fmt.Errorf("drain: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, fmt.Errorf("drain: %s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(text[:min(len(text), 512)])))
	}
	if into == nil {
		return resp.StatusCode, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return resp.StatusCode, fmt.Errorf("drain: %w", err)
	}
	return resp.StatusCode, nil
}
