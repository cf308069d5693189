#!/bin/sh
# Becomes PID 1 of a machine in namespaces of its own: `/usr` of this machine with the installation over it,
# everything else empty, no unit but ours. Runs inside `unshare`; what it mounts ends with the namespace.
#
# Until it says `booting`, a failure means that this environment does not allow it; after that, that we are wrong.
set -eu
root=$1 installed=$2 models=$3 log=$4

mount -t tmpfs -o mode=755 none "$root"
cd "$root"
mkdir -p usr etc/systemd/system etc/hotline proc sys dev run tmp root home boot old var/lib var/log var/tmp
chmod 1777 tmp var/tmp
for link in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$link" ]; then ln -s "usr/$link" "$link"; fi
done
mount -t overlay -o "ro,lowerdir=$installed/usr:/usr" overlay usr
mount --bind -o ro "$models" usr/share/hotline/models
# No unit and no generator of the machine's: only what the installation brought, and the targets below.
mount --bind -o ro "$installed/usr/lib/systemd/system" usr/lib/systemd/system
mount -t tmpfs none usr/lib/systemd/system-generators
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 none dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 none dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 none run
ln -s ../run var/run
touch dev/kmsg
mount --bind "$log" dev/kmsg

cp -r "$installed/etc/." etc/
cp /etc/passwd /etc/group /etc/nsswitch.conf etc/
for file in ld.so.cache ld.so.conf localtime; do
    if [ -e "/etc/$file" ]; then cp -P "/etc/$file" "etc/$file"; fi
done
echo 00000000000000000000000000000001 > etc/machine-id
for target in sysinit basic sockets multi-user network-online time-sync shutdown umount; do
    printf '[Unit]\nDefaultDependencies=no\n' > "etc/systemd/system/$target.target"
done
# There is no journal; the harness prints this file when a test fails.
mkdir etc/systemd/system/service.d
printf '[Service]\nStandardOutput=append:/var/log/services\nStandardError=inherit\n' > etc/systemd/system/service.d/log.conf

pivot_root . old
umount -l /old
# As at every boot: what systemd mounts for a service (credentials) must reach its own view of the files.
mount --make-rshared /
# As README tells an operator.
systemd-sysusers
systemd-tmpfiles --create /usr/lib/tmpfiles.d/hotline.conf
echo booting
exec env -i PATH=/usr/sbin:/usr/bin container=hotline-test \
    /lib/systemd/systemd --unit=multi-user.target --show-status=no --log-target=kmsg
