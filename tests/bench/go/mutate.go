package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	component = "dask.org/component"
	cluster   = "dask.org/cluster-name"
	gpu       = "nvidia.com/gpu"
	enabled   = "colocate.dask.org/enabled"
	host      = "kubernetes.io/hostname"
	zone      = "topology.kubernetes.io/zone"
)

var levels = []struct {
	key    string
	weight int32
}{{host, 100}, {zone, 30}}

type workers struct {
	decoder admission.Decoder
	read    annotations
}

// Handle answers one review of a worker pod.
func (w *workers) Handle(ctx context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := w.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	found, err := w.read(ctx, request.Namespace)
	if err != nil || found[enabled] != "true" || pod.Labels[component] != "worker" {
		return admission.Allowed("")
	}
	mutate(pod)
	changed, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

func mutate(pod *corev1.Pod) {
	name := pod.Labels[cluster]
	for i := range pod.Spec.Containers {
		container := &pod.Spec.Containers[i]
		if at := slices.Index(container.Args, "dask-worker"); at >= 0 {
			container.Args[at] = "dask-cuda-worker"
			limitGPU(container)
		}
	}
	affinity(pod, name)
	if !asks(pod) && len(pod.Spec.TopologySpreadConstraints) == 0 {
		pod.Spec.TopologySpreadConstraints = append(pod.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: 32, TopologyKey: host, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: of(name, metav1.LabelSelectorOpNotIn),
		})
	}
}

func limitGPU(container *corev1.Container) {
	if _, set := container.Resources.Limits[gpu]; set {
		return
	}
	if container.Resources.Limits == nil {
		container.Resources.Limits = corev1.ResourceList{}
	}
	container.Resources.Limits[gpu] = resource.MustParse("1")
}

func affinity(pod *corev1.Pod, name string) {
	if pod.Spec.Affinity == nil {
		pod.Spec.Affinity = &corev1.Affinity{}
	}
	if pod.Spec.Affinity.PodAffinity == nil {
		pod.Spec.Affinity.PodAffinity = &corev1.PodAffinity{}
	}
	terms := &pod.Spec.Affinity.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	for _, level := range levels {
		drawn := func(term corev1.WeightedPodAffinityTerm) bool { return term.PodAffinityTerm.TopologyKey == level.key }
		if !slices.ContainsFunc(*terms, drawn) {
			*terms = append(*terms, corev1.WeightedPodAffinityTerm{Weight: level.weight, PodAffinityTerm: corev1.PodAffinityTerm{
				LabelSelector: of(name, metav1.LabelSelectorOpIn), TopologyKey: level.key,
			}})
		}
	}
}

func of(name string, operator metav1.LabelSelectorOperator) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: component, Operator: metav1.LabelSelectorOpIn, Values: []string{"worker"}},
		{Key: cluster, Operator: operator, Values: []string{name}},
	}}
}

// asks says whether any container asks for CPU or memory: the scheduler then sees the workers for itself.
func asks(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
			if !list.Cpu().IsZero() || !list.Memory().IsZero() {
				return true
			}
		}
		return false
	})
}
