# What the scripts share; sourced, not run. Says little, and stops with one line that helps.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top" || exit 1

# What the build needs beside Rust: libbpf is compiled from its sources.
BUILD_PACKAGES=(make gcc libc6-dev pkg-config libelf-dev zlib1g-dev)

die() {
	echo "$*" >&2
	exit 1
}

# The words that give a command root's rights; empty for root.
SUDO=()
if [ "$(id -u)" -ne 0 ]; then
	SUDO=(sudo)
fi

# can_be_root: whether a command can be given root's rights without asking anybody.
can_be_root() {
	[ ${#SUDO[@]} -eq 0 ] || sudo -n true 2> /dev/null
}

# install_missing PACKAGE...: installs those that are not there (Debian, Ubuntu), quietly.
install_missing() {
	command -v dpkg-query > /dev/null || {
		echo "This is no Debian: install what corresponds to: $*" >&2
		return 0
	}
	local package log missing=()
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	[ ${#SUDO[@]} -eq 0 ] || command -v sudo > /dev/null || die "Missing packages: run as root: apt-get install ${missing[*]}"
	echo "Installing ${missing[*]}"
	log=$(mktemp)
	# Without the update a fresh machine knows no packages; it may fail for one source and still do.
	"${SUDO[@]}" apt-get -q update > "$log" 2>&1 || true
	if ! "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "${missing[@]}" >> "$log" 2>&1 < /dev/null; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "The packages could not be installed; try: apt-get install ${missing[*]}"
	fi
	rm -f "$log"
}

# What tests run beside the build: compilers for BPF, the tools that they compare with, and those they try.
TEST_PACKAGES=(clang llvm libbpf-dev bpftool xdp-tools iproute2 fuse3 git jq python3 perl-base rsync vim
	util-linux procps xxd mount findutils diffutils tar)

# rust_is_new: whether Rust is as new as Cargo.toml asks; leaves the version in `have` and what is asked in `want`.
rust_is_new() {
	have=$(rustc --version | cut -d ' ' -f 2)
	want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
	[ "$(printf '%s\n' "$want" "${have%%-*}" | sort -V | head -n 1)" = "$want" ]
}

# need_cargo [COMPONENT...]: Rust as new as Cargo.toml asks, with the components.
need_cargo() {
	local hint='install Rust from https://rustup.rs and open a new shell' have want component
	command -v cargo > /dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
	command -v cargo > /dev/null || die "No cargo: $hint"
	rust_is_new || die "Rust $have is too old, $want is needed: rustup update"
	for component in "$@"; do
		cargo "$component" --version > /dev/null 2>&1 || die "No cargo $component: rustup component add rustfmt clippy"
	done
}

# need_fuse: /dev/fuse, loaded and made where that is possible.
need_fuse() {
	grep -qw fuse /proc/filesystems || "${SUDO[@]}" modprobe fuse 2> /dev/null || true
	[ -e /dev/fuse ] || "${SUDO[@]}" mknod -m 666 /dev/fuse c 10 229 2> /dev/null || true
}

# Where what the scripts fetch for other kernels, machines and distributions stays for the next time.
store=$top/target/kernels

# mirror NAME: the address of Debian's archive NAME (debian, debian-security), from the sources of
# the machine's own apt, in whichever of its two formats they are.
mirror() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E "/$1/?\$" | head -n 1 || true
}

# rootfs NAME SUITE MMDEBSTRAP-ARGUMENT...: the directory NAME of this Debian suite's packages in the store, made once.
rootfs() {
	local dir=$store/$1 suite=$2 main
	shift 2
	[ ! -e "$dir/complete" ] || return 0
	main=$(mirror debian)
	[ -n "$main" ] || die "apt's sources on this machine name no mirror of Debian"
	echo "Making $dir (minutes)"
	rm -rf "$dir"
	# The machine's own settings hold for these, too, such as what it says of a mirror's dates.
	apt-config dump | grep -E '^Acquire::(Check-|http)' > "$store/apt.conf" || true
	mmdebstrap --quiet --mode=root --aptopt="$store/apt.conf" --aptopt='Acquire::Languages "none"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' "$@" "$suite" "$dir" \
		"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $main $suite main" ||
		die "The packages for $dir cannot be had"
	mkdir -p "$dir$top" "$dir/cargo"
	touch "$dir/complete"
}
