package peers

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"

	"github.com/sallyport/sallyport/bench"
)

// grpcRequest is a unary call. Octets stay octets: there is no protobuf to encode.
// The server answers on goroutines that it keeps, and windows of a fixed size spare
// both ends the pings that would find a better one.
func grpcRequest(t bench.T) *bench.Rig {
	const window = 1 << 20
	l := bench.Listen(t)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(serverTLS())), grpc.ForceServerCodecV2(raw{}),
		grpc.NumStreamWorkers(2), grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window))
	server.RegisterService(&echoService, nil)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	c, err := grpc.NewClient("passthrough:///"+l.Addr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(clientTLS())),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		t.Fatalf("grpc: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, got := context.Background(), make([]byte, 0, payload)
	return &bench.Rig{Step: timed(func() error {
		err := c.Invoke(ctx, "/peers.Echo/Echo", &sent, &got)
		if err == nil && !same(got) {
			err = errors.New("grpc: not echoed")
		}
		return err
	})}
}

// echoService is what protoc would make of a service with one call.
var echoService = grpc.ServiceDesc{
	ServiceName: "peers.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := new([]byte)
			return message, decode(message)
		},
	}},
}

// raw is the codec of octets.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	message, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("a %T is no octets", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*message)}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	message, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a %T is no octets", v)
	}
	*message = append((*message)[:0], make([]byte, data.Len())...)
	data.CopyTo(*message)
	return nil
}
