#!/bin/sh
# check_libcrypto.sh - refuses a program into which a second libcrypto was linked.
#
#   tests/check_libcrypto.sh PROGRAM [DIRECTORY]
#
# DIRECTORY is where BoringSSL's libraries are; a libssl or libcrypto from anywhere else is
# refused.  Without it any two of them from different places are.  BoringSSL and OpenSSL
# export the same names, and the dynamic linker mixes them without a word; the program then
# crashes in an innocent place.  engine/tls/libcheck.c looks for the same at run time.
set -u

program=${1:?usage: check_libcrypto.sh PROGRAM [DIRECTORY]}
directory=${2:-}

if ! linked=$(ldd "$program" 2>&1); then
    case $linked in
    *"not a dynamic executable"*) exit 0 ;;
    esac
    echo "$program: $linked" >&2
    exit 1
fi

# "libcrypto.so.3 => /usr/lib/.../libcrypto.so.3 (0x...)": the third word is the file.
files=$(echo "$linked" | awk '$1 ~ /^lib(ssl|crypto)\.so/ || $1 ~ /\/lib(ssl|crypto)\.so/ {
    print ($2 == "=>") ? ($3 == "not" ? $1 : $3) : $1 }')
if [ -z "$directory" ]; then
    first=$(echo "$files" | head -n 1)
    directory=${first%/*}
fi

strangers=$(for file in $files; do
    [ "${file%/*}" = "$directory" ] || echo "$file"
done)
[ -z "$strangers" ] && exit 0

echo "$program: a second TLS library was linked in beside BoringSSL:" >&2
for stranger in $strangers; do
    echo "  $stranger, which is needed by:" >&2
    name=${stranger##*/}
    echo "$linked" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r file; do
        if readelf -d "$file" 2>/dev/null | grep -q "NEEDED.*\[$name\]"; then
            echo "    $file" >&2
        fi
    done
    if readelf -d "$program" 2>/dev/null | grep -q "NEEDED.*\[$name\]"; then
        echo "    the program itself" >&2
    fi
done
echo "Leave that library out, or use a build of it without OpenSSL." >&2
exit 1
