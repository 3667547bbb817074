package main

import "strings"

// lobbyGoals are of those who wait: for the seat, for each other, for a login
// beside strangers.
func lobbyGoals() (goals []goal) {
	for _, waiting := range []string{"1", "4", "15"} {
		name := "Handoff/waiting=" + waiting
		goals = append(goals, goal{
			name: name + "/over=idle-roundtrip", figure: "Handoff, " + waiting + " waiting, over a round trip after 1 ms of idleness",
			of:    []selector{ours(name), selector("Handoff/[waiting=" + waiting + "]/of=idle-roundtrip")},
			floor: 1, limit: atMost(2.5),
		})
	}
	return append(goals, sessionGoal("2", reportedSpeed), sessionGoal("8", atLeast(0.9)),
		goal{
			name: "Lobby/idle=1000/p99/over=idle=0", figure: "Login p99 with 1,000 idle strangers, over none",
			of: []selector{ours("Lobby/idle=1000"), ours("Lobby/idle=0")}, floor: 1, p: 99, limit: atMost(1.3),
		},
		goal{
			name: "Lobby/idle=1000/memory", figure: "Memory for each of 1,000 strangers",
			of: []selector{ours("Lobby/idle=1000")}, metric: "B/stranger", take: alone, show: octets,
			limit: atMost(28 << 10),
		})
}

// sessionGoal compares how the product's sessions a second grow with clients
// with how bare handshakes do.
func sessionGoal(clients string, l limit) goal {
	many, one := "Sessions/clients="+clients, "Sessions/clients=1"
	return goal{
		name: many + "/scaling/over=tls", figure: "Sessions per second, " + clients + " clients over 1, against how bare TLS scales",
		of:    []selector{ours(many), ours(one), selector(many + "/of=tls"), selector(one + "/of=tls")},
		floor: 2, take: scaling, show: times, limit: l,
	}
}

func peerGoals() []goal {
	derived := against("PeerLogin", "postgres", "Login, derived keys, against PostgreSQL", reportedSpeed)
	derived.name, derived.of[0] = "PeerLogin/keys=derived/against=postgres", "PeerLogin/of=sallyport-derived"
	return []goal{
		against("PeerRequest/[size=64]", "ssh", "Request 64 B, log on, against x/crypto/ssh", atLeast(1.6)),
		against("PeerRequest/[size=64]", "http", "Request 64 B, log on, against HTTP/1.1 over TLS", atLeast(4)),
		against("PeerRequest/[size=64]", "grpc", "Request 64 B, log on, against gRPC", reportedSpeed),
		against("PeerLogin/[keys=cached]", "ssh", "Login, cached keys, against x/crypto/ssh", above(1)),
		against("PeerLogin/[keys=cached]", "postgres", "Login, cached keys, against PostgreSQL", atLeast(5)),
		derived,
		against("PeerLogin/[keys=cached]", "dovecot", "Login, cached keys, against Dovecot", reportedSpeed),
		against("PeerLogin/[keys=cached]", "openssh", "Login, cached keys, against OpenSSH", reportedSpeed),
		against("PeerPipeline/[window=64]", "redis", "Pipelined, window 64, log on, against Redis over TLS", above(1)),
		against("PeerPipeline/[window=64]", "redis-go", "Pipelined, window 64, log on, against Redis over TLS with go-redis", reportedSpeed),
	}
}

// against says how many times as fast as a peer the product is.
func against(name, peer, figure string, l limit) goal {
	return goal{
		name: strings.NewReplacer("[", "", "]", "").Replace(name) + "/against=" + peer, figure: figure + ": speed",
		of:    []selector{ours(name), selector(name + "/of=" + peer)},
		floor: 1, limit: l, peer: true,
	}
}
