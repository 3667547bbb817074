package forward

import (
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// awaitLeft returns true when the program at the other end has left. It returns false when stop is closed and the
// read deadline is in the past. A program that has left in order, but has said something, is given some time more.
func awaitLeft(conn net.Conn, stop <-chan struct{}) bool {
	raw, err := rawConn(conn)
	if err != nil {
		return false
	}
	if raw.Read(func(fd uintptr) bool { return hangUp(conn, fd) != here }) != nil {
		return false
	}
	var since time.Time
	for {
		was, unread := look(conn, raw)
		switch {
		case was == broken, was == closed && unread == 0, was == closed && !since.IsZero() && time.Since(since) > grace:
			return true
		case was == closed && since.IsZero():
			since = time.Now()
		}
		select {
		case <-stop:
			return false
		case <-time.After(lookEvery):
		}
	}
}

// lookAt returns what is known of the program at the other end.
func lookAt(conn net.Conn) presence {
	raw, err := rawConn(conn)
	if err != nil {
		return here
	}
	was, _ := look(conn, raw)
	return was
}

func rawConn(conn net.Conn) (syscall.RawConn, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

// look returns what is known of the program, and how many of its bytes are unread.
func look(conn net.Conn, raw syscall.RawConn) (was presence, unread int) {
	_ = raw.Control(func(fd uintptr) {
		was = hangUp(conn, fd)
		unread, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	})
	if tcp, ok := conn.(*net.TCPConn); ok && was == halfEnded && orphaned(tcp) {
		was = closed
	}
	return was, unread
}

// hangUp says what the kernel knows of the other end.
func hangUp(conn net.Conn, fd uintptr) presence {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	_, _ = unix.Poll(fds, 0)
	_, isTCP := conn.(*net.TCPConn)
	switch events := fds[0].Revents; {
	case events&(unix.POLLERR|unix.POLLHUP) != 0 && isTCP:
		return broken
	case events&(unix.POLLERR|unix.POLLHUP) != 0:
		return closed
	case events&unix.POLLRDHUP != 0:
		return halfEnded
	}
	return here
}

// orphaned reports whether no process has the socket at the other end any more. TCP says only that the program has
// ended its direction, but of a socket on this machine the kernel knows more (sock_diag(7)).
func orphaned(conn *net.TCPConn) bool {
	ours, _ := conn.LocalAddr().(*net.TCPAddr)
	theirs, _ := conn.RemoteAddr().(*net.TCPAddr)
	if ours == nil || theirs == nil || !theirs.IP.IsLoopback() && !theirs.IP.Equal(ours.IP) {
		return false
	}
	inode, err := inodeOf(theirs, ours)
	return err == nil && inode == 0
}

// The parts of a message of NETLINK_SOCK_DIAG (linux/inet_diag.h).
const (
	requestSize = unix.SizeofNlMsghdr + 8 + 48 // inet_diag_req_v2
	inodeAt     = unix.SizeofNlMsghdr + 4 + 48 + 4*4
)

// inodeOf returns the inode of the TCP socket with these two addresses. It is zero if no process has it.
func inodeOf(own, peer *net.TCPAddr) (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, diagRequest(own, peer), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	answer := make([]byte, 4096) // the kernel has answered when Sendto returns
	n, _, err := unix.Recvfrom(fd, answer, 0)
	switch {
	case err != nil:
		return 0, err
	case n < inodeAt+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.SOCK_DIAG_BY_FAMILY:
		return 0, unix.ENOENT
	}
	return binary.NativeEndian.Uint32(answer[inodeAt:]), nil
}

func diagRequest(own, peer *net.TCPAddr) []byte {
	r := make([]byte, requestSize)
	binary.NativeEndian.PutUint32(r, requestSize)
	binary.NativeEndian.PutUint16(r[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(r[6:], unix.NLM_F_REQUEST)
	family, from, to := byte(unix.AF_INET), own.IP.To4(), peer.IP.To4()
	if from == nil || to == nil {
		family, from, to = unix.AF_INET6, own.IP.To16(), peer.IP.To16()
	}
	query := r[unix.SizeofNlMsghdr:]
	query[0], query[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(query[4:], ^uint32(0)) // in any state
	id := query[8:]
	binary.BigEndian.PutUint16(id, uint16(own.Port))
	binary.BigEndian.PutUint16(id[2:], uint16(peer.Port))
	copy(id[4:20], from)
	copy(id[20:36], to)
	binary.NativeEndian.PutUint64(id[40:], ^uint64(0)) // no cookie
	return r
}

// unsent returns how many bytes the kernel has not sent, or the other end's kernel has not acknowledged. It is -1 if that
// is unknown.
func unsent(conn net.Conn) (n int) {
	n = -1
	if raw, err := rawConn(conn); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
				n = queued
			}
		})
	}
	return n
}
