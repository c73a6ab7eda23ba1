package controllers

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	componentconfig "k8s.io/component-base/config/v1alpha1"
	schedulerconfig "k8s.io/kube-scheduler/config/v1"

	"github.com/keyreeve/keyreeve/localkube/internal/ramdir"
)

// Scheduler is a scheduler that is ready to run.
type Scheduler struct{ options *options.Options }

// NewScheduler prepares a scheduler that talks to the API server by client.
func NewScheduler(dir *ramdir.Dir, client *rest.Config) (*Scheduler, error) {
	kubeconfig, err := writeKubeconfig(dir, "scheduler.kubeconfig", client)
	if err != nil {
		return nil, err
	}
	no := false
	config, err := json.Marshal(&schedulerconfig.KubeSchedulerConfiguration{
		TypeMeta:       metav1.TypeMeta{APIVersion: schedulerconfig.SchemeGroupVersion.String(), Kind: "KubeSchedulerConfiguration"},
		LeaderElection: componentconfig.LeaderElectionConfiguration{LeaderElect: &no},
		ClientConnection: componentconfig.ClientConnectionConfiguration{
			Kubeconfig: kubeconfig, QPS: clientQPS, Burst: clientBurst,
		},
		DebuggingConfiguration: componentconfig.DebuggingConfiguration{EnableProfiling: &no, EnableContentionProfiling: &no},
	})
	if err != nil {
		return nil, fmt.Errorf("encode scheduler's configuration: %w", err)
	}
	o := options.NewOptions()
	if o.ConfigFile, err = dir.Write("scheduler.json", config); err != nil {
		return nil, err
	}
	o.SecureServing.BindPort = 0
	if o.InformerName, err = cache.NewInformerName("kube-scheduler"); err != nil {
		return nil, fmt.Errorf("name informers: %w", err)
	}
	return &Scheduler{options: o}, nil
}

// Run schedules pods until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	config, sched, err := app.Setup(ctx, s.options)
	if err != nil {
		return fmt.Errorf("configure scheduler: %w", err)
	}
	return ended(ctx, "scheduler", app.Run(ctx, config, sched))
}
