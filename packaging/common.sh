#!/usr/bin/env bash
#
# What the scripts that make packages have in common; they read this with "source".
# shellcheck disable=SC2034 # and use these variables
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export LC_ALL=C TZ=UTC
umask 022

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arch=${CARGO_BUILD_TARGET:-$(uname -m)}
arch=${arch%%-*}
dist=${DIST:-$root/dist}
mkdir -p "$dist"

# The date of everything in a package: that of the commit, which a source package keeps in
# a file.
if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then
    if [[ -f .source-date-epoch ]]; then
        SOURCE_DATE_EPOCH=$(<.source-date-epoch)
    else
        SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || {
            echo "package: of what date is this source? It is no git clone: set SOURCE_DATE_EPOCH" >&2
            exit 1
        }
    fi
fi
export SOURCE_DATE_EPOCH

# build TARGET...: runs make without what a user's environment adds, which would make another package
build() {
    env -u CARGO_ENCODED_RUSTFLAGS -u RUSTFLAGS -u CPPFLAGS -u CFLAGS -u CXXFLAGS -u LDFLAGS -u BZW_ZMQ_PREFIX \
        -u CARGO_PROFILE make --no-print-directory "$@"
}

# setting NAME: what ./configure has found
setting() { sed -n "s/^$1 := *//p" "$BUILD/config.mk"; }

# checksums DIR: writes those of all files in DIR to a list there
checksums() {
    (
        cd "$1"
        find . -type f ! -path ./SHA256SUMS -printf '%P\n' | sort | tr '\n' '\0' | xargs -0 sha256sum >SHA256SUMS
    )
}

# archive FILE DIR: packs DIR as FILE in dist, and registers it
archive() {
    local file=$1 dir=$2
    tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw \
        --mtime="@$SOURCE_DATE_EPOCH" -C "$(dirname "$dir")" -cf - "$(basename "$dir")" |
        gzip -9n >"$dist/$file"
    register "$file"
}

# register FILE: puts a file in dist into the list of checksums there
register() {
    (
        cd "$dist"
        touch SHA256SUMS
        { grep -v " $1\$" SHA256SUMS || true; sha256sum "$1"; } | sort -k 2 >SHA256SUMS.new
        mv SHA256SUMS.new SHA256SUMS
    )
    echo "package: $dist/$1"
}

# licences DIR: copies the licences of everything that is linked into the plugin and the tool
licences() {
    local to=$1 name number crate file
    local where=()
    for crate in vendor "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        [[ ! -d $crate ]] || where+=("$crate")
    done
    {
        cargo tree --locked --edges normal --prefix none --format '{p}' --package bro-zmq
        cargo tree --locked --edges normal,build --prefix none --format '{p}' --package zmq-sys | grep '^zeromq-src '
    } | sort -u | while read -r name number _; do
        crate=$(find "${where[@]}" -maxdepth 1 -name "$name-${number#v}" | head -n 1)
        case $name in
            bro-zmq | bro-zeromq-writer | fake-host | zmq-sys) continue ;; # LICENSE
            libsodium-sys-stable)
                tar -xzf "$crate/LATEST.tar.gz" -O libsodium-stable/LICENSE |
                    install -Dm 644 /dev/stdin "$to/libsodium/LICENSE"
                ;;
            zeromq-src) install -Dm 644 "$crate/vendor/LICENSE" "$to/libzmq/LICENSE" ;;
        esac
        while read -r file; do
            install -Dm 644 "$crate/$file" "$to/$name/${file//\//-}"
        done < <(cd "$crate" && find . -maxdepth 2 -type f -printf '%P\n' |
            grep -iE '(^|/)(LICEN[CS]E|COPYING|UNLICENSE)[^/]*$' | grep -vx 'zstd/COPYING') # the GPL, not chosen
        [[ -d $to/$name ]] || {
            echo "package: there is no licence of $name $number" >&2
            return 1
        }
    done
}
