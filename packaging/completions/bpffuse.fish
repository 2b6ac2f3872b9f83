complete -c bpffuse -s o -d 'Mount options, as mount(8) passes them: allow_other, ro, noatime, …' -r -f -a "allow_other\t'let other users in, as the pins\' modes allow'
ro\t'allow no change'
nosymfollow\t'follow no symbolic links'
noatime\t'as for any file system'
X-mount.mkdir\t'make the mount point if it is missing'
owner=\t'as --owner'
metrics_group=\t'as --metrics-group'
types=\t'as --types'"
complete -c bpffuse -l owner -d 'Whose the mount is, beside root: by default who typed sudo, else root alone' -r -f -a "(__fish_complete_users)"
complete -c bpffuse -l metrics-group -d 'The group that may read /.metrics, whoever else may come in' -r -f
complete -c bpffuse -l default-map -d 'The map that mkdir makes, in bpftool\'s words' -r -f
complete -c bpffuse -l types -d 'Types for maps by their names, in C, for those that have none or say too little; repeatable' -r -F
complete -c bpffuse -l watch-interval -d 'How often a map that is watched is compared: seconds, or with a unit (ms, s, m)' -r -f
complete -c bpffuse -l threads -d 'Threads that answer requests, 1 to 64; by default one for each CPU, 4 at most' -r -f
complete -c bpffuse -l log-file -d 'Append the log to this file instead of standard error. With it, SIGHUP reopens the log' -r -F
complete -c bpffuse -s f -l foreground -d 'Stay in the foreground'
complete -c bpffuse -s r -l read-only -d 'Allow no change'
complete -c bpffuse -l no-mount-bpffs -d 'Do not mount bpffs where there is none'
complete -c bpffuse -s v -d 'Log what changes something, with old and new values, or is refused; -vv: every operation. Seen with -f or --log-file'
complete -c bpffuse -l probe -d 'Mount nothing: is 0 if the mount at MOUNTPOINT answers within 5 seconds (for probes of containers)'
complete -c bpffuse -l notices -d 'Mount nothing: print the licences of what is inside the program'
complete -c bpffuse -s h -l help -d 'Print help'
complete -c bpffuse -s V -l version -d 'Print version'
