// Serves the API of Kubernetes for tests, with an etcd of its own behind it, until it is ended.
//
// Usage: kubernetes-server FOLDER FLAG... where the flags are those of kube-apiserver. There are no nodes, no scheduler
// and no controllers: what they would do, tests do.
package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const startTime = time.Minute

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: %s FOLDER FLAG", os.Args[0]))
	}
	etcd, err := startEtcd(filepath.Join(os.Args[1], "etcd"))
	if err != nil {
		fail(err)
	}
	defer etcd.Close()
	command := app.NewAPIServerCommand()
	command.SetArgs(append(os.Args[2:], "--etcd-servers=http://"+etcd.Clients[0].Addr().String()))
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}

// startEtcd keeps its data in a folder, and loses the last of them when the machine stops.
func startEtcd(folder string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = folder
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenPeerUrls, config.ListenClientUrls = anyPort, anyPort
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case <-time.After(startTime):
		etcd.Close()
		return nil, fmt.Errorf("etcd was not ready within %s", startTime)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
