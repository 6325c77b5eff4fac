# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_control_global_optspecs
    string join \n db= json h/help V/version
end

function __fish_control_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_control_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_control_using_subcommand
    set -l cmd (__fish_control_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c control -n "__fish_control_needs_command" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_needs_command" -l json -d 'Print JSON'
complete -c control -n "__fish_control_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c control -n "__fish_control_needs_command" -s V -l version -d 'Print version'
complete -c control -n "__fish_control_needs_command" -f -a "reserve" -d 'Reserve a task id, and print it'
complete -c control -n "__fish_control_needs_command" -f -a "list" -d 'List the tasks that have not ended'
complete -c control -n "__fish_control_needs_command" -f -a "show" -d 'Tell everything about one task, running or ended'
complete -c control -n "__fish_control_needs_command" -f -a "log" -d 'Print what one task printed'
complete -c control -n "__fish_control_needs_command" -f -a "feedback" -d 'Print the feedback of one task as a JSON object'
complete -c control -n "__fish_control_needs_command" -f -a "history" -d 'Page through ended tasks, newest first'
complete -c control -n "__fish_control_needs_command" -f -a "wait" -d 'Wait until tasks have ended, and print their results'
complete -c control -n "__fish_control_needs_command" -f -a "kill" -d 'End tasks with their whole process trees; cancel reservations'
complete -c control -n "__fish_control_needs_command" -f -a "killall" -d 'End all tasks of a name'
complete -c control -n "__fish_control_needs_command" -f -a "update" -d 'Bring stored durations and states up to date, settle dead tasks'
complete -c control -n "__fish_control_needs_command" -f -a "clear" -d 'Delete history'
complete -c control -n "__fish_control_needs_command" -f -a "initialize" -d 'Create the database, or empty it: all its contents are lost'
complete -c control -n "__fish_control_needs_command" -f -a "stats" -d 'Sum up the runs of each name: success rate, durations, last success and failure'
complete -c control -n "__fish_control_needs_command" -f -a "check" -d 'Exit 0 if a task of this name succeeded lately, 1 if not, 3 if never'
complete -c control -n "__fish_control_needs_command" -f -a "run-again" -d 'Launch a task again: the same command, folder, name and options'
complete -c control -n "__fish_control_needs_command" -f -a "backup" -d 'Write a copy of the database, while it is in use'
complete -c control -n "__fish_control_needs_command" -f -a "verify" -d 'Check that the database and the logs are whole'
complete -c control -n "__fish_control_needs_command" -f -a "export" -d 'Print the tasks that run and those that ended since a cursor, for another host that follows this one'
complete -c control -n "__fish_control_needs_command" -f -a "remote" -d 'Follow other hosts: their tasks are kept here, to be listed with those of this host'
complete -c control -n "__fish_control_needs_command" -f -a "completions" -d 'Print shell completions'
complete -c control -n "__fish_control_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand reserve" -l name -l taskname -d 'Name of the task; without one, its command\'s file name will be it' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l info1 -d 'Free side information' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l info2 -d 'Free side information' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l info3 -d 'Free side information' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l expire -d 'The reservation lapses if it is not launched in this time' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand reserve" -l unique -d 'Only if no task of the name is reserved or lives'
complete -c control -n "__fish_control_using_subcommand reserve" -l handle -d 'Print the handle, which nobody can guess, instead of the number'
complete -c control -n "__fish_control_using_subcommand reserve" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand reserve" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand list" -l outcome -d 'With --all: only these outcomes: ok, warnings, error, unknown' -r -f -a "ok\t''
warnings\t''
error\t''
unknown\t''"
complete -c control -n "__fish_control_using_subcommand list" -l status -d 'Only live tasks of these: reserved, running, silent, stalled, stopping, orphaned' -r -f -a "RESERVED\t''
RUNNING\t''
SILENT\t''
STALLED\t''
STOPPING\t''
ORPHANED\t''"
complete -c control -n "__fish_control_using_subcommand list" -l name -d 'Only tasks of this name' -r
complete -c control -n "__fish_control_using_subcommand list" -l since -d 'Only tasks that started at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand list" -l until -d 'Only tasks that started at this time or earlier' -r
complete -c control -n "__fish_control_using_subcommand list" -l remote -d 'The tasks of this remote instead of those of this host' -r
complete -c control -n "__fish_control_using_subcommand list" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand list" -l watch -d 'Go on, and redraw at each change and every second'
complete -c control -n "__fish_control_using_subcommand list" -l all -d 'Also those that ended last; of those that failed, why, and what they printed last'
complete -c control -n "__fish_control_using_subcommand list" -l jsonl -d 'Print one JSON object a line'
complete -c control -n "__fish_control_using_subcommand list" -l all-remotes -d 'Also the tasks of all remotes'
complete -c control -n "__fish_control_using_subcommand list" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand list" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand show" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand show" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand show" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand log" -l tail -d 'Only the last lines' -r
complete -c control -n "__fish_control_using_subcommand log" -l start -d 'Pass over so many lines first' -r
complete -c control -n "__fish_control_using_subcommand log" -l limit -d 'At most so many lines' -r
complete -c control -n "__fish_control_using_subcommand log" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand log" -s f -l follow -d 'Go on until the task has ended'
complete -c control -n "__fish_control_using_subcommand log" -l no-time -d 'Leave the times out'
complete -c control -n "__fish_control_using_subcommand log" -l raw -d 'Print every byte as it came, on a terminal too'
complete -c control -n "__fish_control_using_subcommand log" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand log" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand feedback" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand feedback" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand feedback" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand history" -l name -l taskname -d 'Only tasks of this name' -r
complete -c control -n "__fish_control_using_subcommand history" -l outcome -d 'Only these outcomes: ok, warnings, error, unknown' -r -f -a "ok\t''
warnings\t''
error\t''
unknown\t''"
complete -c control -n "__fish_control_using_subcommand history" -l since -d 'Only tasks that ended (with --remote and --all-remotes: started) at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand history" -l until -d 'Only tasks that ended (with --remote and --all-remotes: started) at this time or earlier' -r
complete -c control -n "__fish_control_using_subcommand history" -l user -d 'Only tasks of this login' -r
complete -c control -n "__fish_control_using_subcommand history" -l limit -d 'Print at most N rows; 0 prints all' -r
complete -c control -n "__fish_control_using_subcommand history" -l after -d 'Go on after the page that named this cursor' -r
complete -c control -n "__fish_control_using_subcommand history" -l offset -d 'Pass over so many rows first' -r
complete -c control -n "__fish_control_using_subcommand history" -l remote -d 'The tasks of this remote instead of those of this host, by their starts' -r
complete -c control -n "__fish_control_using_subcommand history" -l node -d 'With --remote or --all-remotes: only tasks of remotes that ran on this node' -r
complete -c control -n "__fish_control_using_subcommand history" -l type -d 'With --remote or --all-remotes: only tasks of remotes of this type, as their UPIDs name it' -r
complete -c control -n "__fish_control_using_subcommand history" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand history" -l all-remotes -d 'Those of this host and of all remotes, by their starts'
complete -c control -n "__fish_control_using_subcommand history" -l reverse -d 'Oldest first'
complete -c control -n "__fish_control_using_subcommand history" -l jsonl -d 'Print one JSON object a line; the next cursor goes to stderr'
complete -c control -n "__fish_control_using_subcommand history" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand history" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand wait" -l timeout -d 'Give up after this, with exit code 124' -r
complete -c control -n "__fish_control_using_subcommand wait" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand wait" -l any -d 'Until one of them has ended'
complete -c control -n "__fish_control_using_subcommand wait" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand wait" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand kill" -l signal -d 'End them with this signal [default: the one each was launched with]' -r -f -a "HUP\t''
INT\t''
QUIT\t''
ILL\t''
TRAP\t''
ABRT\t''
BUS\t''
FPE\t''
KILL\t''
USR1\t''
SEGV\t''
USR2\t''
PIPE\t''
ALRM\t''
TERM\t''
STKFLT\t''
CHLD\t''
CONT\t''
STOP\t''
TSTP\t''
TTIN\t''
TTOU\t''
URG\t''
XCPU\t''
XFSZ\t''
VTALRM\t''
PROF\t''
WINCH\t''
IO\t''
PWR\t''
SYS\t''"
complete -c control -n "__fish_control_using_subcommand kill" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand kill" -l now -d 'With SIGKILL, at once'
complete -c control -n "__fish_control_using_subcommand kill" -l no-wait -d 'Return when they were asked, not when they have ended'
complete -c control -n "__fish_control_using_subcommand kill" -l force -d 'End runs of supervised programs too, past their supervisor, which then treats them as ended by themselves'
complete -c control -n "__fish_control_using_subcommand kill" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand kill" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand killall" -l signal -d 'End them with this signal [default: the one each was launched with]' -r -f -a "HUP\t''
INT\t''
QUIT\t''
ILL\t''
TRAP\t''
ABRT\t''
BUS\t''
FPE\t''
KILL\t''
USR1\t''
SEGV\t''
USR2\t''
PIPE\t''
ALRM\t''
TERM\t''
STKFLT\t''
CHLD\t''
CONT\t''
STOP\t''
TSTP\t''
TTIN\t''
TTOU\t''
URG\t''
XCPU\t''
XFSZ\t''
VTALRM\t''
PROF\t''
WINCH\t''
IO\t''
PWR\t''
SYS\t''"
complete -c control -n "__fish_control_using_subcommand killall" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand killall" -l now -d 'With SIGKILL, at once'
complete -c control -n "__fish_control_using_subcommand killall" -l no-wait -d 'Return when they were asked, not when they have ended'
complete -c control -n "__fish_control_using_subcommand killall" -l force -d 'End runs of supervised programs too, past their supervisor, which then treats them as ended by themselves'
complete -c control -n "__fish_control_using_subcommand killall" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand killall" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand update" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand update" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand update" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand clear" -l older-than -d 'Only what ended longer ago than this' -r
complete -c control -n "__fish_control_using_subcommand clear" -l name -l taskname -d 'Only tasks of this name' -r
complete -c control -n "__fish_control_using_subcommand clear" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand clear" -s y -l yes -d 'Do not ask before deleting; without it a terminal is asked'
complete -c control -n "__fish_control_using_subcommand clear" -l dry-run -d 'Print what would be deleted, and delete nothing'
complete -c control -n "__fish_control_using_subcommand clear" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand clear" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand initialize" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand initialize" -l force -d 'Even while tasks live'
complete -c control -n "__fish_control_using_subcommand initialize" -s y -l yes -d 'Do not ask before deleting; without it a terminal is asked'
complete -c control -n "__fish_control_using_subcommand initialize" -l dry-run -d 'Print what would be deleted, and delete nothing'
complete -c control -n "__fish_control_using_subcommand initialize" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand initialize" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand stats" -l since -d 'Only runs that ended at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand stats" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand stats" -l jsonl -d 'Print one JSON object a line'
complete -c control -n "__fish_control_using_subcommand stats" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand stats" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand check" -l max-age -d 'The last success may be so long ago' -r
complete -c control -n "__fish_control_using_subcommand check" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand check" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand check" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand run-again" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand run-again" -l detach -d 'Print the new task\'s id and return once it runs'
complete -c control -n "__fish_control_using_subcommand run-again" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand run-again" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand backup" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand backup" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand backup" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand verify" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand verify" -l repair -d 'Remove what belongs to no task: logs, feedbacks'
complete -c control -n "__fish_control_using_subcommand verify" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand verify" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand export" -l since -d 'Only what ended since this cursor, with which the last answer ended' -r
complete -c control -n "__fish_control_using_subcommand export" -l limit -d 'Of the tasks new since then at most so many that have ended; the answer says if there are more' -r
complete -c control -n "__fish_control_using_subcommand export" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand export" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand export" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "add" -d 'Follow another host from now on'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "set" -d 'Change how a host is reached, and keep its tasks'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "remove" -d 'Follow a host no more, and forget its tasks'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "list" -d 'List the remotes: last contact, lag, last error, how many tasks'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "test" -d 'Ask a remote whether it answers'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "sync" -d 'Fetch what is new from all remotes, or from some'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l ssh -d 'A host that runs taskwatcher, reached by your own ssh with its configuration, keys and agent' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l pve -d 'A Proxmox VE host, or any host of a cluster: https://HOST or https://HOST:PORT' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l pbs -d 'A Proxmox Backup Server: https://HOST or https://HOST:PORT' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l remote-db -d 'With --ssh: the database there [default: the one that control uses there]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l token -d 'With --pve and --pbs: the name of an API token, like root@pam!watch' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l secret-file -d 'With --pve and --pbs: a file of mode 0600 that holds the token\'s secret' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l fingerprint -d 'With --pve and --pbs: take the certificate with this fingerprint and no other [default: those that this system trusts]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l ssh -d 'Of a host reached by ssh: the host' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l remote-db -d 'Of a host reached by ssh: the database there' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l url -d 'Of a Proxmox host: https://HOST or https://HOST:PORT, of the same host or cluster' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l token -d 'Of a Proxmox host: the name of an API token' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l secret-file -d 'Of a Proxmox host: a file of mode 0600 that holds the token\'s secret' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l fingerprint -d 'Of a Proxmox host: take the certificate with this fingerprint and no other, as when it was renewed' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l no-remote-db -d 'Of a host reached by ssh: the database that control uses there'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l no-fingerprint -d 'Of a Proxmox host: take the certificates that this system trusts'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from remove" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from list" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -l timeout -d 'Give it up when it says nothing for so long [default: 60s]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l every -d 'Go on, and ask each again after so long' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l since -d 'With --refetch: only what started at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l timeout -d 'Give a remote up when it says nothing for so long [default: 60s]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l keep -d 'Afterwards forget what started longer ago than this on any remote, also on those that are not named' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l keep-tasks -d 'Afterwards keep only so many ended tasks of all remotes, the newest' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l refetch -d 'Fetch all of their history again, not only what is new: what is missing here comes back'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "add" -d 'Follow another host from now on'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change how a host is reached, and keep its tasks'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Follow a host no more, and forget its tasks'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the remotes: last contact, lag, last error, how many tasks'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "test" -d 'Ask a remote whether it answers'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "sync" -d 'Fetch what is new from all remotes, or from some'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand completions" -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand completions" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand completions" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "reserve" -d 'Reserve a task id, and print it'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "list" -d 'List the tasks that have not ended'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "show" -d 'Tell everything about one task, running or ended'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "log" -d 'Print what one task printed'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "feedback" -d 'Print the feedback of one task as a JSON object'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "history" -d 'Page through ended tasks, newest first'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "wait" -d 'Wait until tasks have ended, and print their results'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "kill" -d 'End tasks with their whole process trees; cancel reservations'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "killall" -d 'End all tasks of a name'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "update" -d 'Bring stored durations and states up to date, settle dead tasks'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "clear" -d 'Delete history'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "initialize" -d 'Create the database, or empty it: all its contents are lost'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "stats" -d 'Sum up the runs of each name: success rate, durations, last success and failure'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "check" -d 'Exit 0 if a task of this name succeeded lately, 1 if not, 3 if never'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "run-again" -d 'Launch a task again: the same command, folder, name and options'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "backup" -d 'Write a copy of the database, while it is in use'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "verify" -d 'Check that the database and the logs are whole'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "export" -d 'Print the tasks that run and those that ended since a cursor, for another host that follows this one'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "remote" -d 'Follow other hosts: their tasks are kept here, to be listed with those of this host'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "completions" -d 'Print shell completions'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "add" -d 'Follow another host from now on'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "set" -d 'Change how a host is reached, and keep its tasks'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "remove" -d 'Follow a host no more, and forget its tasks'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "list" -d 'List the remotes: last contact, lag, last error, how many tasks'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "test" -d 'Ask a remote whether it answers'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "sync" -d 'Fetch what is new from all remotes, or from some'
