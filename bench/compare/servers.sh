#!/usr/bin/env bash
# The peers that are servers: PostgreSQL, Redis, Dovecot and OpenSSH.
#
#   servers.sh start DIR   starts those that are installed on free ports of 127.0.0.1, and names the
#                          Debian package of each that is missing; it installs nothing
#   servers.sh stop DIR    ends what start has started, if anything, and removes DIR
#
# SALLYPORT_PEERS=DIR tells the benchmarks where they are. As root each server runs as the user of its
# package. Without root Dovecot and OpenSSH are left out. It was written for Debian 12. Certificates,
# keys and passwords are made anew each time.
set -euo pipefail
export LC_ALL=C PATH="/usr/sbin:/sbin:$PATH"
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "servers.sh: $*" >&2; exit 1; }
say() { echo "servers.sh: $*" >&2; }

# --- start and stop

# as USER COMMAND... runs a command as a user, if this is root.
as() {
	local user=$1
	shift
	if ((EUID)) || [[ $user == root ]]; then exec "$@"; fi
	exec setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups "$@"
}

# launch NAME USER COMMAND... runs a server in a session of its own: a Ctrl-C that ends the benchmarks
# must not end it before stop does.
launch() {
	local name=$1 user=$2
	shift 2
	(cd "$dir/$name" && as "$user" setsid "$@") </dev/null >"$dir/$name.log" 2>&1 &
	echo "$! $(born $!) $name" >>"$dir/pids"
}

# stat PID FIELD is a field of /proc/PID/stat behind the command's name.
stat() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f "$2"; }

# born is when a process was started, which tells it from a later one with that number.
born() { stat "$1" 20; }

gone() { [[ -z $2 || $(born "$1") != "$2" || $(stat "$1" 1) == Z ]]; }

# within SECONDS COMMAND... tries until it succeeds.
within() {
	local tries=$(($1 * 10))
	shift
	while ! "$@"; do
		((tries-- > 0)) || return 1
		sleep 0.1
	done
}

stop() {
	[[ -e $dir ]] || return 0
	[[ -f $dir/pids ]] || { rmdir "$dir" 2>/dev/null || die "$dir is not of my making"; return 0; }
	local pid since name
	while read -r pid since name; do
		gone "$pid" "$since" || kill -INT "$pid" # a fast shutdown, for PostgreSQL
	done <"$dir/pids"
	while read -r pid since name; do
		within 10 gone "$pid" "$since" && continue
		say "$name does not stop: killed"
		kill -KILL "$pid"
	done <"$dir/pids"
	rm -rf "$dir"
}

# answers PORT: somebody listens there.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# settled NAME PORT: it answers, or never will.
settled() {
	local pid since
	read -r pid since _ < <(grep " $1\$" "$dir/pids")
	answers "$2" || gone "$pid" "$since"
}

# free_port sets port to one below those that the system gives to clients.
free_port() {
	local tries
	for tries in {1..200}; do
		port=$((20000 + RANDOM % 12000))
		[[ ${ports[*]-} == *":$port\""* ]] || answers "$port" || return 0
	done
	die "no free port"
}

# try NAME PROGRAM PACKAGE starts a server if it is installed, and waits until it answers.
try() {
	local name=$1 program=$2 package=$3
	if ! command -v "$program" >/dev/null; then
		say "left out: $name is not installed (apt-get install --no-install-recommends $package)"
		return
	fi
	free_port
	"start_$name"
	within 20 settled "$name" "$port" || true
	if answers "$port"; then
		ports+=("\"$name\": \"127.0.0.1:$port\"")
	else
		sed "s/^/$name: /" "$dir/$name.log" >&2
		say "left out: $name does not answer"
	fi
}

# --- what they share

# The product makes them: a CA, a certificate for localhost, and the verifier.
make_secrets() {
	(umask 077 && od -An -tx1 -N16 /dev/urandom | tr -d ' ' >"$dir/password")
	(cd "$here/../.." && "${GO:-go}" run ./cmd/sallyport user add --state "$dir/state" --iterations 4096 --password-stdin peer) \
		<"$dir/password" >"$dir/user.log" 2>&1 || { cat "$dir/user.log" >&2; die "no user"; }
	install -m 644 "$dir/state/ca.pem" "$dir/ca.pem"
	IFS=':$' read -r _ _ iterations salt stored server <"$dir/state/users"
}

own() { ((EUID)) || chown -R "$1:" "${@:2}"; }

# folder NAME USER makes a server's own, with the certificate.
folder() {
	mkdir -m 700 "$dir/$1"
	install -m 600 "$dir/state/cert.pem" "$dir/state/key.pem" "$dir/$1/"
	own "$2" "$dir/$1"
}

# --- the servers

# PostgreSQL with its defaults but for the log. A login writes nothing, so that fsync does not matter.
start_postgres() {
	folder postgres postgres
	local d=$dir/postgres
	install -m 600 "$dir/password" "$d/password"
	own postgres "$d/password"
	(cd "$d" && as postgres initdb -D "$d/data" -U peer --pwfile="$d/password" -A scram-sha-256 --no-sync --no-locale --encoding=UTF8) \
		>"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; die "initdb failed"; }
	echo 'hostssl all all 127.0.0.1/32 scram-sha-256' >"$d/data/pg_hba.conf"
	launch postgres postgres postgres -D "$d/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
		-c ssl=on -c ssl_min_protocol_version=TLSv1.3 -c "ssl_cert_file=$d/cert.pem" -c "ssl_key_file=$d/key.pem" -c fsync=off
}

# Redis keeps nothing on disk.
start_redis() {
	folder redis redis
	cat >"$dir/redis/conf" <<-END
		bind 127.0.0.1
		port 0
		tls-port $port
		tls-cert-file $dir/redis/cert.pem
		tls-key-file $dir/redis/key.pem
		tls-ca-cert-file $dir/ca.pem
		tls-auth-clients no
		tls-protocols TLSv1.3
		requirepass $(<"$dir/password")
		save ""
		appendonly no
		dir $dir/redis
	END
	chmod 600 "$dir/redis/conf"
	own redis "$dir/redis/conf"
	launch redis redis redis-server "$dir/redis/conf"
}

# Dovecot as its manual has it for many logins: processes that serve one connection after another and are
# there before it comes. It starts as root and hands everything to its own users.
start_dovecot() {
	folder dovecot root
	chmod 755 "$dir/dovecot" # its users look for sockets in it
	mkdir -m 700 "$dir/dovecot/mail"
	chown mail: "$dir/dovecot/mail"
	install -m 640 -g dovecot /dev/null "$dir/dovecot/users"
	echo "peer:{SCRAM-SHA-256}$iterations,$salt,$stored,$server" >"$dir/dovecot/users"
	cat >"$dir/dovecot/conf" <<-END
		base_dir = $dir/dovecot/run
		state_dir = $dir/dovecot/state
		log_path = /dev/stderr
		protocols = imap
		listen = 127.0.0.1
		ssl = required
		ssl_min_protocol = TLSv1.3
		ssl_cert = <$dir/dovecot/cert.pem
		ssl_key = <$dir/dovecot/key.pem
		auth_mechanisms = scram-sha-256
		passdb {
		  driver = passwd-file
		  args = $dir/dovecot/users
		}
		userdb {
		  driver = static
		  args = uid=mail gid=mail home=$dir/dovecot/mail
		}
		first_valid_uid = 1
		first_valid_gid = 1
		mail_location = maildir:$dir/dovecot/mail/Maildir
		service imap-login {
		  service_count = 0
		  process_min_avail = 1
		  inet_listener imap {
		    port = 0
		  }
		  inet_listener imaps {
		    port = $port
		    ssl = yes
		  }
		}
		service imap {
		  service_count = 1000
		  process_min_avail = 2
		}
	END
	launch dovecot root dovecot -F -c "$dir/dovecot/conf"
}

# OpenSSH runs as a user of the system who can log in as nobody else, and who gets nothing done: no
# command, no terminal, no forwarding.
start_openssh() {
	folder openssh sshd
	mkdir -p -m 755 /run/sshd # where Debian's sshd demands a folder
	ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/openssh/host_key"
	ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/openssh/user_key"
	echo "restrict,command=\"/bin/false\" $(<"$dir/openssh/user_key.pub")" >"$dir/openssh/authorized_keys"
	chown sshd: "$dir"/openssh/{host_key,authorized_keys}
	cat >"$dir/openssh/conf" <<-END
		ListenAddress 127.0.0.1:$port
		HostKey $dir/openssh/host_key
		AuthorizedKeysFile $dir/openssh/authorized_keys
		AuthenticationMethods publickey
		StrictModes no
		PidFile none
		UsePAM no
		UseDNS no
		PrintMotd no
		PrintLastLog no
		MaxStartups 1000
		LogLevel ERROR
	END
	launch openssh sshd "$(command -v sshd)" -D -e -f "$dir/openssh/conf"
}

start() {
	[[ ! -e $dir/pids ]] || die "$dir is in use"
	mkdir -p "$dir"
	chmod 711 "$dir" # each server looks for its own folder in it
	: >"$dir/pids"
	trap 'code=$?; ((code == 0)) || stop' EXIT
	make_secrets
	PATH+=$(printf ':%s' /usr/lib/postgresql/*/bin) # where Debian keeps postgres
	ports=()
	try postgres postgres postgresql
	try redis redis-server redis-server
	if ((EUID)); then
		say "left out: dovecot and openssh need root"
	else
		try dovecot dovecot dovecot-imapd
		try openssh sshd openssh-server
	fi
	(IFS=, && echo "{${ports[*]-}}") >"$dir/servers.json"
}

(($# == 2)) || die "usage: servers.sh start|stop DIR"
dir=$(realpath -m "$2")
case $1 in
start) start ;;
stop) stop ;;
*) die "usage: servers.sh start|stop DIR" ;;
esac
