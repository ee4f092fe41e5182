// A controller-runtime webhook with the mutation of dask-colocate's defaults, for the benchmark beside this folder.
//
// It is written as kubebuilder scaffolds one: decode into a corev1.Pod, change the copy, marshal, and let the library
// work out the patch. Namespaces come from an informer cache of metadata, or from a file where there is no API server.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"
)

// annotations answers with those of a namespace.
type annotations func(ctx context.Context, namespace string) (map[string]string, error)

func main() {
	port := flag.Int("port", 0, "port of 127.0.0.1 to listen on")
	cert := flag.String("tls-cert", "", "PEM file with the certificate")
	key := flag.String("tls-key", "", "PEM file with its key, in the same folder")
	file := flag.String("namespaces-file", "", "YAML file with one Namespace, in place of an API server")
	flag.Parse() // --kubeconfig is controller-runtime's own
	ctrl.SetLogger(logr.Discard())
	ctx := ctrl.SetupSignalHandler()

	var read annotations
	if *file != "" {
		read = fromFile(*file)
	} else {
		read = fromCluster(ctx)
	}
	server := webhook.NewServer(webhook.Options{
		Host: "127.0.0.1", Port: *port,
		CertDir: filepath.Dir(*cert), CertName: filepath.Base(*cert), KeyName: filepath.Base(*key),
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	})
	server.Register("/mutate", &webhook.Admission{Handler: &workers{admission.NewDecoder(scheme.Scheme), read}})
	server.Register("/readyz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
	must(server.Start(ctx))
}

func fromFile(path string) annotations {
	text, err := os.ReadFile(path)
	must(err)
	var one corev1.Namespace
	must(yaml.Unmarshal(text, &one))
	return func(context.Context, string) (map[string]string, error) { return one.Annotations, nil }
}

func fromCluster(ctx context.Context) annotations {
	config, err := ctrl.GetConfig()
	must(err)
	known, err := cache.New(config, cache.Options{Scheme: scheme.Scheme})
	must(err)
	_, err = known.GetInformer(ctx, metadata())
	must(err)
	go func() { must(known.Start(ctx)) }()
	known.WaitForCacheSync(ctx)
	return func(ctx context.Context, namespace string) (map[string]string, error) {
		found := metadata()
		err := known.Get(ctx, types.NamespacedName{Name: namespace}, found)
		return found.Annotations, err
	}
}

func metadata() *metav1.PartialObjectMetadata {
	one := &metav1.PartialObjectMetadata{}
	one.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return one
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
