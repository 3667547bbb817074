package peers

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// grpcRequest is a unary call of plain bytes, with no protobuf to encode. The server answers on goroutines that
// it keeps, and windows of a fixed size spare both ends the pings that would find a better one.
func grpcRequest(t bench.T) *bench.Rig {
	const window = 1 << 20
	l := bench.Listen(t)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(plain(bench.ServerTLS(testserver.ECDSA)))), grpc.ForceServerCodecV2(codec{}),
		grpc.NumStreamWorkers(2), grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window))
	server.RegisterService(&echoService, nil)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	c, err := grpc.NewClient("passthrough:///"+l.Addr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(plain(bench.ClientTLS(testserver.ECDSA)))),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})))
	bench.Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	ctx, got := context.Background(), make([]byte, 0, payload)
	return echoes(func() ([]byte, error) {
		err := c.Invoke(ctx, "/peers.Echo/Echo", &sent, &got)
		return got, err
	})
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

// codec leaves bytes as they are.
type codec struct{}

func (codec) Name() string { return "plain" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	message := v.(*[]byte)
	*message = append((*message)[:0], make([]byte, data.Len())...)
	data.CopyTo(*message)
	return nil
}
