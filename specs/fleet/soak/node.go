//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// nodeVerb makes this program a node of etcd.
const nodeVerb = "-node"

// node is a member of the cluster of etcd.
type node struct {
	*process
	Name, Dir, Client, Peer, Cluster string
	log                              string
}

// cluster is an etcd of three nodes.
type cluster struct {
	nodes []*node
	path  string // of etcd, "" for the one in this program
}

// newCluster starts the nodes.
func newCluster(ctx context.Context, dir, path string) (*cluster, error) {
	c, disk := &cluster{path: path}, smallDisk
	if path != "" {
		disk = etcdDisk
	}
	var members []string
	for i := range 3 {
		name := fmt.Sprint("node", i)
		ports, err := freePorts(2)
		if err != nil {
			return c, err
		}
		n := &node{Name: name, Dir: filepath.Join(dir, name), Client: ports[0], Peer: ports[1], log: filepath.Join(dir, name+".log")}
		if err := mountDisk(n.Dir, disk); err != nil {
			return c, err
		}
		members = append(members, name+"=http://"+n.Peer)
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		n.Cluster = strings.Join(members, ",")
		if err := c.start(n); err != nil {
			return c, err
		}
	}
	return c, c.ready(ctx)
}

// freePorts returns addresses that nobody listens on.
func freePorts(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// start starts a node, again on its data.
func (c *cluster) start(n *node) (err error) {
	if c.path == "" {
		self, failed := os.Executable()
		text, _ := json.Marshal(n)
		n.process, err = spawn(n.log, self, nodeVerb, string(text))
		return errors.Join(failed, err)
	}
	client, peer := "http://"+n.Client, "http://"+n.Peer
	n.process, err = spawn(n.log, c.path, "--name", n.Name, "--data-dir", filepath.Join(n.Dir, "data"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", n.Cluster, "--log-level", "warn")
	return err
}

// runNode is the process of a node.
func runNode(text string) {
	n := &node{}
	err := json.Unmarshal([]byte(text), n)
	wal.SegmentSizeBytes = 128 << 10 // so that a full disk is noticed
	c := embed.NewConfig()
	c.Name, c.Dir, c.InitialCluster, c.LogLevel = n.Name, filepath.Join(n.Dir, "data"), n.Cluster, "warn"
	c.ListenClientUrls = []url.URL{{Scheme: "http", Host: n.Client}}
	c.ListenPeerUrls = []url.URL{{Scheme: "http", Host: n.Peer}}
	c.AdvertiseClientUrls, c.AdvertisePeerUrls = c.ListenClientUrls, c.ListenPeerUrls
	var etcd *embed.Etcd
	if err == nil {
		etcd, err = embed.StartEtcd(c)
	}
	if err == nil {
		err = <-etcd.Err()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// client returns a client of all nodes.
func (c *cluster) client() (*clientv3.Client, error) {
	var all []string
	for _, n := range c.nodes {
		all = append(all, "http://"+n.Client)
	}
	return clientv3.New(clientv3.Config{Endpoints: all, Logger: zap.NewNop(), DialTimeout: 2 * time.Second})
}

// ready waits until the cluster works.
func (c *cluster) ready(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if _, err = client.Put(ctx, "ready", ""); err == nil {
			return nil
		}
		pause(ctx, 100*time.Millisecond)
	}
	return fmt.Errorf("etcd is not ready: %w", err)
}

// leader returns the leader, as the nodes that answer say, and another node.
func (c *cluster) leader(ctx context.Context) (leader, follower *node) {
	client, err := c.client()
	if err != nil {
		return c.nodes[0], c.nodes[1]
	}
	defer client.Close()
	leader, follower = c.nodes[0], c.nodes[1]
	for i, n := range c.nodes {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		got, err := client.Status(ctx, "http://"+n.Client)
		cancel()
		if err == nil && got.Leader == got.Header.MemberId {
			return n, c.nodes[(i+1)%len(c.nodes)]
		}
	}
	return leader, follower
}

// places returns the keys below a prefix.
func (c *cluster) places(ctx context.Context, prefix string) (keys []string, err error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	for _, kv := range got.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

// pause waits, and reports false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
