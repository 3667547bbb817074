#!/usr/bin/env bash
# The peers that are servers: PostgreSQL, Redis, Dovecot and OpenSSH.
#
#   servers.sh start DIR   installs what is missing of them from Debian's packages,
#                          and starts them on free ports of 127.0.0.1
#   servers.sh stop DIR    ends what start has started, if anything, and removes DIR
#
# SALLYPORT_PEERS=DIR tells the benchmarks where they are. It wants root: to
# install, and because each server is to run as the user of its own package, as
# some of them demand. It knows those of Debian 12. Certificates, keys and passwords are made anew each time.
set -euo pipefail
export LC_ALL=C PATH="/usr/sbin:/sbin:$PATH"
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "servers.sh: $*" >&2; exit 1; }

# --- install

# install brings what is missing, and does not let a package start its service.
install_missing() {
	local missing=()
	pg=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	[[ -x $pg/postgres ]] || missing+=(postgresql)
	command -v redis-server >/dev/null || missing+=(redis-server)
	[[ -x /usr/lib/dovecot/imap ]] || missing+=(dovecot-core dovecot-imapd)
	command -v sshd >/dev/null || missing+=(openssh-server)
	command -v openssl >/dev/null || missing+=(openssl)
	((${#missing[@]})) || return 0
	local policy=/usr/sbin/policy-rc.d made='' code=0
	if [[ ! -e $policy ]]; then
		trap "rm -f $policy" EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		made=yes
	fi
	"$policy" "${missing[0]}" start >/dev/null 2>&1 || code=$?
	((code == 101)) || die "$policy would let packages start their services: install ${missing[*]} yourself"
	export DEBIAN_FRONTEND=noninteractive
	code=0
	local apt=(timeout 600 apt-get -q -o DPkg::Lock::Timeout=120)
	{ "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >&2 || code=$?
	if [[ $made ]]; then
		rm -f "$policy"
		trap - EXIT
	fi
	((code == 0)) || die "apt-get could not install ${missing[*]}"
	pg=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
}

# --- start and stop

# launch NAME USER COMMAND... runs a server in a session of its own, so that what
# interrupts the benchmarks leaves it to stop.
launch() {
	local name=$1 user=$2 as=()
	shift 2
	[[ $user == root ]] || as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
	(cd "$dir/$name" && exec setsid "${as[@]}" "$@") </dev/null >"$dir/$name.log" 2>&1 &
	echo "$! $(born $!) $name" >>"$dir/pids"
}

# born is when a process was started, which tells it from a later one of that number.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

lives() { [[ -n $2 && $(born "$1") == "$2" && $(state "$1") != Z ]]; }

state() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 1; }

# within SECONDS COMMAND... tries until it succeeds.
within() {
	local tries=$(($1 * 10))
	shift
	while ! "$@"; do
		((tries-- > 0)) || return 1
		sleep 0.1
	done
}

gone() { ! lives "$@"; }

stop() {
	# A start that failed has cleaned up, or has not begun.
	[[ -e $dir ]] || return 0
	[[ -f $dir/pids ]] || rmdir "$dir" 2>/dev/null || die "$dir is not of my making"
	[[ -f $dir/pids ]] || return 0
	local pid since name
	while read -r pid since name; do
		! lives "$pid" "$since" || kill -INT "$pid" # a fast shutdown, for PostgreSQL
	done <"$dir/pids"
	while read -r pid since name; do
		within 10 gone "$pid" "$since" && continue
		echo "servers.sh: $name does not stop: killed" >&2
		kill -KILL "$pid"
	done <"$dir/pids"
	rm -rf "$dir"
}

# answers PORT: somebody listens there.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# ready NAME PORT waits for a server; each has been seen to take less than 2 s.
ready() {
	within 20 settled "$1" "$2" || true
	answers "$2" || { cat "$dir/$1.log" >&2; die "$1 does not answer"; }
}

# settled NAME PORT: it answers, or never will.
settled() {
	local pid since
	read -r pid since _ < <(grep " $1\$" "$dir/pids")
	answers "$2" || gone "$pid" "$since"
}

# free_port is one below those that the system gives to clients, and not given twice.
taken=' '
free_port() {
	local tries
	for tries in {1..200}; do
		port=$((20000 + RANDOM % 12000))
		[[ $taken == *" $port "* ]] || answers "$port" || { taken+="$port "; return; }
	done
	die "no free port"
}

# --- what they share

# The product makes them: a CA, a certificate for localhost, and the verifier.
make_secrets() {
	(umask 077 && openssl rand -hex 16 >"$dir/password")
	(cd "$here/../.." && "${GO:-go}" run ./cmd/sallyport user add --state "$dir/state" --iterations 4096 --password-stdin peer) \
		<"$dir/password" >"$dir/user.log" 2>&1 || { cat "$dir/user.log" >&2; die "no user"; }
	install -m 644 "$dir/state/ca.pem" "$dir/ca.pem"
	IFS=':$' read -r _ _ iterations salt stored server <"$dir/state/users"
}

# folder NAME USER makes a server's own, with the certificate.
folder() {
	mkdir -m 700 "$dir/$1"
	install -m 600 "$dir/state/cert.pem" "$dir/state/key.pem" "$dir/$1/"
	chown -R "$2:" "$dir/$1"
}

# --- the servers

# PostgreSQL with its defaults but for the log. There is nothing to be written
# in a login, so that fsync does not matter.
start_postgres() {
	free_port
	postgres_port=$port
	folder postgres postgres
	local d=$dir/postgres
	install -m 600 -o postgres "$dir/password" "$d/password"
	(cd "$d" && setpriv --reuid=postgres --regid="$(id -g postgres)" --clear-groups \
		"$pg/initdb" -D "$d/data" -U peer --pwfile="$d/password" -A scram-sha-256 --no-sync --no-locale --encoding=UTF8) >"$dir/initdb.log" 2>&1 ||
		{ cat "$dir/initdb.log" >&2; die "initdb failed"; }
	echo 'hostssl all all 127.0.0.1/32 scram-sha-256' >"$d/data/pg_hba.conf"
	launch postgres postgres "$pg/postgres" -D "$d/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
		-c ssl=on -c ssl_min_protocol_version=TLSv1.3 -c "ssl_cert_file=$d/cert.pem" -c "ssl_key_file=$d/key.pem" -c fsync=off
}

# Redis keeps nothing on disk.
start_redis() {
	free_port
	redis_port=$port
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
	chown redis: "$dir/redis/conf"
	chmod 600 "$dir/redis/conf"
	launch redis redis redis-server "$dir/redis/conf"
}

# Dovecot as its manual has it for many logins: processes that serve one
# connection after another and are there before it comes. It starts as root and
# hands everything to its own users.
start_dovecot() {
	free_port
	dovecot_port=$port
	folder dovecot root
	chmod 755 "$dir/dovecot" # its users look for sockets in it
	mkdir -m 700 "$dir/dovecot/mail"
	chown mail: "$dir/dovecot/mail"
	install -m 640 -g dovecot /dev/null "$dir/dovecot/users"
	echo "peer:{SCRAM-SHA-256}$iterations,$salt,$stored,$server" >"$dir/dovecot/users"
	dovecot_conf >"$dir/dovecot/conf"
	launch dovecot root dovecot -F -c "$dir/dovecot/conf"
}

dovecot_conf() {
	cat <<-END
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
		    port = $dovecot_port
		    ssl = yes
		  }
		}
		service imap {
		  service_count = 1000
		  process_min_avail = 2
		}
	END
}

# OpenSSH runs as a user of the system who can log in as nobody but itself, and
# who gets nothing done: no command, no terminal, no forwarding.
start_openssh() {
	free_port
	openssh_port=$port
	folder ssh sshd
	mkdir -p -m 755 /run/sshd # where Debian's sshd demands a folder
	ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/ssh/host_key"
	ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/ssh/user_key"
	echo "restrict,command=\"/bin/false\" $(<"$dir/ssh/user_key.pub")" >"$dir/ssh/authorized_keys"
	chown sshd: "$dir"/ssh/{host_key,authorized_keys}
	cat >"$dir/ssh/conf" <<-END
		ListenAddress 127.0.0.1:$port
		HostKey $dir/ssh/host_key
		AuthorizedKeysFile $dir/ssh/authorized_keys
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
	launch ssh sshd "$(command -v sshd)" -D -e -f "$dir/ssh/conf"
}

write_json() {
	cat >"$dir/servers.json" <<-END
		{
		  "Postgres": "127.0.0.1:$postgres_port",
		  "Redis": "127.0.0.1:$redis_port",
		  "Dovecot": "127.0.0.1:$dovecot_port",
		  "OpenSSH": "127.0.0.1:$openssh_port",
		  "User": "peer",
		  "OpenSSHUser": "sshd"
		}
	END
}

start() {
	((EUID == 0)) || die "start wants root"
	[[ ! -e $dir/pids ]] || die "$dir is in use"
	install_missing
	mkdir -p "$dir"
	chmod 711 "$dir" # each server looks for its own folder in it
	: >"$dir/pids"
	trap 'code=$?; ((code == 0)) || stop' EXIT
	make_secrets
	start_postgres
	start_redis
	start_dovecot
	start_openssh
	ready postgres "$postgres_port"
	ready redis "$redis_port"
	ready dovecot "$dovecot_port"
	ready ssh "$openssh_port"
	write_json
}

(($# == 2)) || die "usage: servers.sh start|stop DIR"
dir=$(realpath -m "$2")
case $1 in
start) start ;;
stop) stop ;;
*) die "usage: servers.sh start|stop DIR" ;;
esac
