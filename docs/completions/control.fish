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

complete -c control -n "__fish_control_needs_command" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_needs_command" -l json -d 'Print JSON'
complete -c control -n "__fish_control_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c control -n "__fish_control_needs_command" -s V -l version -d 'Print version'
complete -c control -n "__fish_control_needs_command" -f -a "reserve" -d 'Reserve a task id and print it'
complete -c control -n "__fish_control_needs_command" -f -a "list" -d 'List tasks that have not ended'
complete -c control -n "__fish_control_needs_command" -f -a "show" -d 'Show all details of a task'
complete -c control -n "__fish_control_needs_command" -f -a "log" -d 'Print the output of a task'
complete -c control -n "__fish_control_needs_command" -f -a "feedback" -d 'Print the feedback of a task as a JSON object'
complete -c control -n "__fish_control_needs_command" -f -a "history" -d 'List ended tasks page by page, newest first'
complete -c control -n "__fish_control_needs_command" -f -a "wait" -d 'Wait until tasks have ended and print their results'
complete -c control -n "__fish_control_needs_command" -f -a "kill" -d 'End tasks with their whole process trees; cancel reservations'
complete -c control -n "__fish_control_needs_command" -f -a "killall" -d 'End all tasks with the given name'
complete -c control -n "__fish_control_needs_command" -f -a "update" -d 'Update stored durations and states, and record the end of dead tasks'
complete -c control -n "__fish_control_needs_command" -f -a "clear" -d 'Delete ended tasks from history, with their logs'
complete -c control -n "__fish_control_needs_command" -f -a "initialize" -d 'Create the database, or empty it: all its contents are deleted'
complete -c control -n "__fish_control_needs_command" -f -a "stats" -d 'Summarize the runs of each name: success rate, durations, last success and last failure'
complete -c control -n "__fish_control_needs_command" -f -a "check" -d 'Check the last success of a name: exit with 0 if it is recent enough, 1 if not, 3 if none'
complete -c control -n "__fish_control_needs_command" -f -a "run-again" -d 'Launch a task again with the same command, folder, name and options'
complete -c control -n "__fish_control_needs_command" -f -a "backup" -d 'Write a copy of the database, even while it is in use'
complete -c control -n "__fish_control_needs_command" -f -a "verify" -d 'Check the integrity of the database and the logs'
complete -c control -n "__fish_control_needs_command" -f -a "export" -d 'Print running tasks and tasks that ended since a cursor, for another host that follows this one'
complete -c control -n "__fish_control_needs_command" -f -a "remote" -d 'Follow other hosts: copy their tasks into this database, to be listed with the tasks of this host'
complete -c control -n "__fish_control_needs_command" -f -a "completions" -d 'Print shell completions'
complete -c control -n "__fish_control_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand reserve" -l name -l taskname -d 'Name of the task [default: the file name of the command launched with the reservation]' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l info1 -d 'Arbitrary text to store with the task' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l info2 -d 'Arbitrary text to store with the task' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l info3 -d 'Arbitrary text to store with the task' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l expire -d 'Time after which the reservation lapses if it has not been launched' -r
complete -c control -n "__fish_control_using_subcommand reserve" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand reserve" -l unique -d 'Fail if a task with this name is already reserved or running'
complete -c control -n "__fish_control_using_subcommand reserve" -l handle -d 'Print the unguessable handle instead of the number'
complete -c control -n "__fish_control_using_subcommand reserve" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand reserve" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand list" -l outcome -d 'With --all: list only ended tasks with these outcomes: ok, warnings, error, unknown' -r -f -a "ok\t''
warnings\t''
error\t''
unknown\t''"
complete -c control -n "__fish_control_using_subcommand list" -l status -d 'List only live tasks with these statuses: reserved, running, silent, stalled, stopping, orphaned' -r -f -a "RESERVED\t''
RUNNING\t''
SILENT\t''
STALLED\t''
STOPPING\t''
ORPHANED\t''"
complete -c control -n "__fish_control_using_subcommand list" -l name -d 'List only tasks with this name' -r
complete -c control -n "__fish_control_using_subcommand list" -l since -d 'List only tasks that started at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand list" -l until -d 'List only tasks that started at this time or earlier' -r
complete -c control -n "__fish_control_using_subcommand list" -l remote -d 'List the tasks of this remote instead of those of this host' -r
complete -c control -n "__fish_control_using_subcommand list" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand list" -l watch -d 'Keep running and redraw on each change, at least once per second'
complete -c control -n "__fish_control_using_subcommand list" -l all -d 'Also list the last 20 tasks that ended, with the reason and the last output of each failure'
complete -c control -n "__fish_control_using_subcommand list" -l jsonl -d 'Print one JSON object per line'
complete -c control -n "__fish_control_using_subcommand list" -l all-remotes -d 'Also list the tasks of all remotes'
complete -c control -n "__fish_control_using_subcommand list" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand list" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand show" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand show" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand show" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand log" -l tail -d 'Print only the last N lines' -r
complete -c control -n "__fish_control_using_subcommand log" -l start -d 'Skip the first N lines' -r
complete -c control -n "__fish_control_using_subcommand log" -l limit -d 'Print at most N lines' -r
complete -c control -n "__fish_control_using_subcommand log" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand log" -s f -l follow -d 'Keep printing new output until the task has ended'
complete -c control -n "__fish_control_using_subcommand log" -l no-time -d 'Omit the timestamps'
complete -c control -n "__fish_control_using_subcommand log" -l raw -d 'Print all bytes unchanged, even to a terminal'
complete -c control -n "__fish_control_using_subcommand log" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand log" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand feedback" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand feedback" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand feedback" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand history" -l name -l taskname -d 'List only tasks with this name' -r
complete -c control -n "__fish_control_using_subcommand history" -l outcome -d 'List only tasks with these outcomes: ok, warnings, error, unknown' -r -f -a "ok\t''
warnings\t''
error\t''
unknown\t''"
complete -c control -n "__fish_control_using_subcommand history" -l since -d 'List only tasks that ended (with --remote or --all-remotes: started) at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand history" -l until -d 'List only tasks that ended (with --remote or --all-remotes: started) at this time or earlier' -r
complete -c control -n "__fish_control_using_subcommand history" -l user -d 'List only tasks of this login name' -r
complete -c control -n "__fish_control_using_subcommand history" -l limit -d 'Print at most N rows; 0 for no limit' -r
complete -c control -n "__fish_control_using_subcommand history" -l after -d 'Continue from this cursor (printed with the previous page)' -r
complete -c control -n "__fish_control_using_subcommand history" -l offset -d 'Skip the first N rows' -r
complete -c control -n "__fish_control_using_subcommand history" -l remote -d 'List the tasks of this remote instead of those of this host, ordered by start time' -r
complete -c control -n "__fish_control_using_subcommand history" -l node -d 'With --remote or --all-remotes: list only tasks of remotes that ran on this node' -r
complete -c control -n "__fish_control_using_subcommand history" -l type -d 'With --remote or --all-remotes: list only tasks of remotes whose UPIDs have this type' -r
complete -c control -n "__fish_control_using_subcommand history" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand history" -l all-remotes -d 'List the tasks of this host and of all remotes, ordered by start time'
complete -c control -n "__fish_control_using_subcommand history" -l reverse -d 'List the oldest tasks first'
complete -c control -n "__fish_control_using_subcommand history" -l jsonl -d 'Print one JSON object per line, and the next cursor to stderr'
complete -c control -n "__fish_control_using_subcommand history" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand history" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand wait" -l timeout -d 'Give up after this long and exit with 124' -r
complete -c control -n "__fish_control_using_subcommand wait" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand wait" -l any -d 'Return as soon as one of the tasks has ended'
complete -c control -n "__fish_control_using_subcommand wait" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand wait" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand kill" -l signal -d 'Send this signal [default: the stop signal that each task was launched with]' -r -f -a "HUP\t''
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
complete -c control -n "__fish_control_using_subcommand kill" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand kill" -l now -d 'Send SIGKILL immediately'
complete -c control -n "__fish_control_using_subcommand kill" -l no-wait -d 'Send the request and return without waiting for the tasks to end'
complete -c control -n "__fish_control_using_subcommand kill" -l force -d 'Also end runs of supervised programs, bypassing the supervisor, which then treats such a run as ended by itself'
complete -c control -n "__fish_control_using_subcommand kill" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand kill" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand killall" -l signal -d 'Send this signal [default: the stop signal that each task was launched with]' -r -f -a "HUP\t''
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
complete -c control -n "__fish_control_using_subcommand killall" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand killall" -l now -d 'Send SIGKILL immediately'
complete -c control -n "__fish_control_using_subcommand killall" -l no-wait -d 'Send the request and return without waiting for the tasks to end'
complete -c control -n "__fish_control_using_subcommand killall" -l force -d 'Also end runs of supervised programs, bypassing the supervisor, which then treats such a run as ended by itself'
complete -c control -n "__fish_control_using_subcommand killall" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand killall" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand update" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand update" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand update" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand clear" -l older-than -d 'Delete only tasks that ended longer ago than this' -r
complete -c control -n "__fish_control_using_subcommand clear" -l name -l taskname -d 'Delete only tasks with this name' -r
complete -c control -n "__fish_control_using_subcommand clear" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand clear" -s y -l yes -d 'Delete without asking for confirmation (asked only on a terminal)'
complete -c control -n "__fish_control_using_subcommand clear" -l dry-run -d 'Print what would be deleted, without deleting it'
complete -c control -n "__fish_control_using_subcommand clear" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand clear" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand initialize" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand initialize" -l force -d 'Empty the database even if tasks are still running'
complete -c control -n "__fish_control_using_subcommand initialize" -s y -l yes -d 'Delete without asking for confirmation (asked only on a terminal)'
complete -c control -n "__fish_control_using_subcommand initialize" -l dry-run -d 'Print what would be deleted, without deleting it'
complete -c control -n "__fish_control_using_subcommand initialize" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand initialize" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand stats" -l since -d 'Summarize only runs that ended at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand stats" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand stats" -l jsonl -d 'Print one JSON object per line'
complete -c control -n "__fish_control_using_subcommand stats" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand stats" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand check" -l max-age -d 'Maximum age of the last success' -r
complete -c control -n "__fish_control_using_subcommand check" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand check" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand check" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand run-again" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand run-again" -l detach -d 'Print the id of the new task and return once its command runs'
complete -c control -n "__fish_control_using_subcommand run-again" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand run-again" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand backup" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand backup" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand backup" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand verify" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand verify" -l repair -d 'Remove logs and feedback files that belong to no task'
complete -c control -n "__fish_control_using_subcommand verify" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand verify" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand export" -l since -d 'Of the ended tasks, print only those new since this cursor (printed in the last line of the previous export)' -r
complete -c control -n "__fish_control_using_subcommand export" -l limit -d 'Print at most N new ended tasks; the last line says whether there are more' -r
complete -c control -n "__fish_control_using_subcommand export" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand export" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand export" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "add" -d 'Follow another host'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "set" -d 'Change how a host is reached, keeping its tasks'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "remove" -d 'Stop following a host and delete its tasks from this database'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "list" -d 'List the remotes: last contact, lag, last error, number of tasks'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "test" -d 'Check whether a remote responds'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "sync" -d 'Fetch new and changed tasks from all remotes or from the given ones'
complete -c control -n "__fish_control_using_subcommand remote; and not __fish_seen_subcommand_from add set remove list test sync help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l ssh -d 'Host that runs taskwatcher, reached by your own ssh with its configuration, keys and agent' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l pve -d 'Proxmox VE host, or any host of a cluster: https://HOST or https://HOST:PORT' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l pbs -d 'Proxmox Backup Server: https://HOST or https://HOST:PORT' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l remote-db -d 'With --ssh: path of the database on that host [default: the one that control uses there]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l token -d 'With --pve or --pbs: name of an API token, such as root@pam!watch' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l secret-file -d 'With --pve or --pbs: file of mode 0600 that contains the secret of the token' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l fingerprint -d 'With --pve or --pbs: accept only the certificate with this fingerprint [default: accept any that this system trusts]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l ssh -d 'For a host reached by ssh: address of the host' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l remote-db -d 'For a host reached by ssh: path of the database there' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l url -d 'For a Proxmox host: https://HOST or https://HOST:PORT of the same host or cluster' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l token -d 'For a Proxmox host: name of an API token' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l secret-file -d 'For a Proxmox host: file of mode 0600 that contains the secret of the token' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l fingerprint -d 'For a Proxmox host: accept only the certificate with this fingerprint, for example after a renewal' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l no-remote-db -d 'For a host reached by ssh: use the database that control uses there'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l no-fingerprint -d 'For a Proxmox host: accept any certificate that this system trusts'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from remove" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from list" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -l timeout -d 'Give up after this long without a response [default: 60s]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l every -d 'Keep running and ask each remote again after this long' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l since -d 'With --refetch: fetch only tasks that started at this time or later (a date, 2h, yesterday)' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l timeout -d 'Give up on a remote after this long without a response [default: 60s]' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l keep -d 'Maximum age (since the start) of tasks kept here after the sync, for all remotes and not only those named' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l keep-tasks -d 'Maximum number of ended tasks kept here after the sync, the newest of all remotes together' -r
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l refetch -d 'Fetch the whole history again, not only what is new, to restore tasks that are missing here'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from sync" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "add" -d 'Follow another host'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change how a host is reached, keeping its tasks'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Stop following a host and delete its tasks from this database'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the remotes: last contact, lag, last error, number of tasks'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "test" -d 'Check whether a remote responds'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "sync" -d 'Fetch new and changed tasks from all remotes or from the given ones'
complete -c control -n "__fish_control_using_subcommand remote; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand completions" -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c control -n "__fish_control_using_subcommand completions" -l json -d 'Print JSON'
complete -c control -n "__fish_control_using_subcommand completions" -s h -l help -d 'Print help'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "reserve" -d 'Reserve a task id and print it'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "list" -d 'List tasks that have not ended'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "show" -d 'Show all details of a task'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "log" -d 'Print the output of a task'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "feedback" -d 'Print the feedback of a task as a JSON object'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "history" -d 'List ended tasks page by page, newest first'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "wait" -d 'Wait until tasks have ended and print their results'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "kill" -d 'End tasks with their whole process trees; cancel reservations'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "killall" -d 'End all tasks with the given name'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "update" -d 'Update stored durations and states, and record the end of dead tasks'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "clear" -d 'Delete ended tasks from history, with their logs'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "initialize" -d 'Create the database, or empty it: all its contents are deleted'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "stats" -d 'Summarize the runs of each name: success rate, durations, last success and last failure'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "check" -d 'Check the last success of a name: exit with 0 if it is recent enough, 1 if not, 3 if none'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "run-again" -d 'Launch a task again with the same command, folder, name and options'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "backup" -d 'Write a copy of the database, even while it is in use'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "verify" -d 'Check the integrity of the database and the logs'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "export" -d 'Print running tasks and tasks that ended since a cursor, for another host that follows this one'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "remote" -d 'Follow other hosts: copy their tasks into this database, to be listed with the tasks of this host'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "completions" -d 'Print shell completions'
complete -c control -n "__fish_control_using_subcommand help; and not __fish_seen_subcommand_from reserve list show log feedback history wait kill killall update clear initialize stats check run-again backup verify export remote completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "add" -d 'Follow another host'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "set" -d 'Change how a host is reached, keeping its tasks'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "remove" -d 'Stop following a host and delete its tasks from this database'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "list" -d 'List the remotes: last contact, lag, last error, number of tasks'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "test" -d 'Check whether a remote responds'
complete -c control -n "__fish_control_using_subcommand help; and __fish_seen_subcommand_from remote" -f -a "sync" -d 'Fetch new and changed tasks from all remotes or from the given ones'
