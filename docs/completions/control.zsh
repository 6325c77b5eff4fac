#compdef control

autoload -U is-at-least

_control() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_control_commands" \
"*::: :->control" \
&& ret=0
    case $state in
    (control)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:control-command-$line[1]:"
        case $line[1] in
            (reserve)
_arguments "${_arguments_options[@]}" : \
'--name=[Name of the task \[default\: the file name of the command launched with the reservation\]]:NAME:_default' \
'--taskname=[Name of the task \[default\: the file name of the command launched with the reservation\]]:NAME:_default' \
'--info1=[Arbitrary text to store with the task]:TEXT:_default' \
'--info2=[Arbitrary text to store with the task]:TEXT:_default' \
'--info3=[Arbitrary text to store with the task]:TEXT:_default' \
'--expire=[Time after which the reservation lapses if it has not been launched]:DURATION:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--unique[Fail if a task with this name is already reserved or running]' \
'--handle[Print the unguessable handle instead of the number]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'*--outcome=[With --all\: list only ended tasks with these outcomes\: ok, warnings, error, unknown]:OUTCOME:(ok warnings error unknown)' \
'*--status=[List only live tasks with these statuses\: reserved, running, silent, stalled, stopping, orphaned]:STATUS:(RESERVED RUNNING SILENT STALLED STOPPING ORPHANED)' \
'--name=[List only tasks with this name]:NAME:_default' \
'--since=[List only tasks that started at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--until=[List only tasks that started at this time or earlier]:TIME:_default' \
'(--all --status)--remote=[List the tasks of this remote instead of those of this host]:NAME:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--json --jsonl)--watch[Keep running and redraw on each change, at least once per second]' \
'--all[Also list the last 20 tasks that ended, with the reason and the last output of each failure]' \
'--jsonl[Print one JSON object per line]' \
'(--all --status --remote)--all-remotes[Also list the tasks of all remotes]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- Number, handle or UPID of the task:_default' \
&& ret=0
;;
(log)
_arguments "${_arguments_options[@]}" : \
'(--start)--tail=[Print only the last N lines]:N:_default' \
'--start=[Skip the first N lines]:N:_default' \
'--limit=[Print at most N lines]:N:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'-f[Keep printing new output until the task has ended]' \
'--follow[Keep printing new output until the task has ended]' \
'--no-time[Omit the timestamps]' \
'(--json)--raw[Print all bytes unchanged, even to a terminal]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- Number, handle or UPID of the task:_default' \
&& ret=0
;;
(feedback)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- Number, handle or UPID of the task:_default' \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
'--name=[List only tasks with this name]:NAME:_default' \
'--taskname=[List only tasks with this name]:NAME:_default' \
'*--outcome=[List only tasks with these outcomes\: ok, warnings, error, unknown]:OUTCOME:(ok warnings error unknown)' \
'--since=[List only tasks that ended (with --remote or --all-remotes\: started) at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--until=[List only tasks that ended (with --remote or --all-remotes\: started) at this time or earlier]:TIME:_default' \
'--user=[List only tasks of this login name]:USER:_default' \
'--limit=[Print at most N rows; 0 for no limit]:N:_default' \
'--after=[Continue from this cursor (printed with the previous page)]:CURSOR:_default' \
'(--after)--offset=[Skip the first N rows]:N:_default' \
'--remote=[List the tasks of this remote instead of those of this host, ordered by start time]:NAME:_default' \
'--node=[With --remote or --all-remotes\: list only tasks of remotes that ran on this node]:NODE:_default' \
'--type=[With --remote or --all-remotes\: list only tasks of remotes whose UPIDs have this type]:TYPE:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--remote)--all-remotes[List the tasks of this host and of all remotes, ordered by start time]' \
'--reverse[List the oldest tasks first]' \
'(--json)--jsonl[Print one JSON object per line, and the next cursor to stderr]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(wait)
_arguments "${_arguments_options[@]}" : \
'--timeout=[Give up after this long and exit with 124]:DURATION:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--any[Return as soon as one of the tasks has ended]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'*::tasks -- Numbers, handles or UPIDs of the tasks:_default' \
&& ret=0
;;
(kill)
_arguments "${_arguments_options[@]}" : \
'--signal=[Send this signal \[default\: the stop signal that each task was launched with\]]:SIG:(HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS)' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--signal)--now[Send SIGKILL immediately]' \
'--no-wait[Send the request and return without waiting for the tasks to end]' \
'--force[Also end runs of supervised programs, bypassing the supervisor, which then treats such a run as ended by itself]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'*::tasks -- Numbers, handles or UPIDs of the tasks:_default' \
&& ret=0
;;
(killall)
_arguments "${_arguments_options[@]}" : \
'--signal=[Send this signal \[default\: the stop signal that each task was launched with\]]:SIG:(HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS)' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--signal)--now[Send SIGKILL immediately]' \
'--no-wait[Send the request and return without waiting for the tasks to end]' \
'--force[Also end runs of supervised programs, bypassing the supervisor, which then treats such a run as ended by itself]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the tasks:_default' \
&& ret=0
;;
(update)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(clear)
_arguments "${_arguments_options[@]}" : \
'--older-than=[Delete only tasks that ended longer ago than this]:DURATION:_default' \
'--name=[Delete only tasks with this name]:NAME:_default' \
'--taskname=[Delete only tasks with this name]:NAME:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'-y[Delete without asking for confirmation (asked only on a terminal)]' \
'--yes[Delete without asking for confirmation (asked only on a terminal)]' \
'(-y --yes)--dry-run[Print what would be deleted, without deleting it]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(initialize)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--force[Empty the database even if tasks are still running]' \
'-y[Delete without asking for confirmation (asked only on a terminal)]' \
'--yes[Delete without asking for confirmation (asked only on a terminal)]' \
'(-y --yes)--dry-run[Print what would be deleted, without deleting it]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(stats)
_arguments "${_arguments_options[@]}" : \
'--since=[Summarize only runs that ended at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--json)--jsonl[Print one JSON object per line]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'::name -- Name of the tasks \[default\: all names\]:_default' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--max-age=[Maximum age of the last success]:DURATION:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the tasks:_default' \
&& ret=0
;;
(run-again)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--detach[Print the id of the new task and return once its command runs]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- Number, handle or UPID of the task:_default' \
&& ret=0
;;
(backup)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':file -- File to write the copy to; it must not exist yet:_files' \
&& ret=0
;;
(verify)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--repair[Remove logs and feedback files that belong to no task]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
'--since=[Of the ended tasks, print only those new since this cursor (printed in the last line of the previous export)]:CURSOR:_default' \
'--limit=[Print at most N new ended tasks; the last line says whether there are more]:N:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(remote)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_control__subcmd__remote_commands" \
"*::: :->remote" \
&& ret=0

    case $state in
    (remote)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:control-remote-command-$line[1]:"
        case $line[1] in
            (add)
_arguments "${_arguments_options[@]}" : \
'--ssh=[Host that runs taskwatcher, reached by your own ssh with its configuration, keys and agent]:[USER@]HOST:_default' \
'--pve=[Proxmox VE host, or any host of a cluster\: https\://HOST or https\://HOST\:PORT]:URL:_default' \
'--pbs=[Proxmox Backup Server\: https\://HOST or https\://HOST\:PORT]:URL:_default' \
'(--pve --pbs)--remote-db=[With --ssh\: path of the database on that host \[default\: the one that control uses there\]]:PATH:_default' \
'(--ssh)--token=[With --pve or --pbs\: name of an API token, such as root@pam!watch]:USER@REALM!NAME:_default' \
'(--ssh)--secret-file=[With --pve or --pbs\: file of mode 0600 that contains the secret of the token]:FILE:_files' \
'(--ssh)--fingerprint=[With --pve or --pbs\: accept only the certificate with this fingerprint \[default\: accept any that this system trusts\]]:SHA256:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the remote, used as the prefix of the UPIDs of its tasks:_default' \
&& ret=0
;;
(set)
_arguments "${_arguments_options[@]}" : \
'(--url --token --secret-file --fingerprint --no-fingerprint)--ssh=[For a host reached by ssh\: address of the host]:[USER@]HOST:_default' \
'(--url --token --secret-file --fingerprint --no-fingerprint)--remote-db=[For a host reached by ssh\: path of the database there]:PATH:_default' \
'--url=[For a Proxmox host\: https\://HOST or https\://HOST\:PORT of the same host or cluster]:URL:_default' \
'--token=[For a Proxmox host\: name of an API token]:USER@REALM!NAME:_default' \
'--secret-file=[For a Proxmox host\: file of mode 0600 that contains the secret of the token]:FILE:_files' \
'(--no-fingerprint)--fingerprint=[For a Proxmox host\: accept only the certificate with this fingerprint, for example after a renewal]:SHA256:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--remote-db --url --token --secret-file --fingerprint --no-fingerprint)--no-remote-db[For a host reached by ssh\: use the database that control uses there]' \
'--no-fingerprint[For a Proxmox host\: accept any certificate that this system trusts]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the remote:_default' \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the remote:_default' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(test)
_arguments "${_arguments_options[@]}" : \
'--timeout=[Give up after this long without a response \[default\: 60s\]]:DURATION:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the remote:_default' \
&& ret=0
;;
(sync)
_arguments "${_arguments_options[@]}" : \
'--every=[Keep running and ask each remote again after this long]:DURATION:_default' \
'--since=[With --refetch\: fetch only tasks that started at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--timeout=[Give up on a remote after this long without a response \[default\: 60s\]]:DURATION:_default' \
'--keep=[Maximum age (since the start) of tasks kept here after the sync, for all remotes and not only those named]:DURATION:_default' \
'--keep-tasks=[Maximum number of ended tasks kept here after the sync, the newest of all remotes together]:N:_default' \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--every)--refetch[Fetch the whole history again, not only what is new, to restore tasks that are missing here]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'*::names -- Names of the remotes \[default\: all\]:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_control__subcmd__remote__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:control-remote-help-command-$line[1]:"
        case $line[1] in
            (add)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(set)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(test)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(sync)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':shell -- Shell to generate completions for:(bash elvish fish powershell zsh)' \
'::program -- Program to complete:(launch control parse supervise)' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_control__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:control-help-command-$line[1]:"
        case $line[1] in
            (reserve)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(log)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(feedback)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(wait)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(kill)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(killall)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(update)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(clear)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(initialize)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(stats)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(run-again)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(backup)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(verify)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remote)
_arguments "${_arguments_options[@]}" : \
":: :_control__subcmd__help__subcmd__remote_commands" \
"*::: :->remote" \
&& ret=0

    case $state in
    (remote)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:control-help-remote-command-$line[1]:"
        case $line[1] in
            (add)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(set)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(test)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(sync)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(completions)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_control_commands] )) ||
_control_commands() {
    local commands; commands=(
'reserve:Reserve a task id and print it' \
'list:List tasks that have not ended' \
'show:Show all details of a task' \
'log:Print the output of a task' \
'feedback:Print the feedback of a task as a JSON object' \
'history:List ended tasks page by page, newest first' \
'wait:Wait until tasks have ended and print their results' \
'kill:End tasks with their whole process trees; cancel reservations' \
'killall:End all tasks with the given name' \
'update:Update stored durations and states, and record the end of dead tasks' \
'clear:Delete ended tasks from history, with their logs' \
'initialize:Create the database, or empty it\: all its contents are deleted' \
'stats:Summarize the runs of each name\: success rate, durations, last success and last failure' \
'check:Check the last success of a name\: exit with 0 if it is recent enough, 1 if not, 3 if none' \
'run-again:Launch a task again with the same command, folder, name and options' \
'backup:Write a copy of the database, even while it is in use' \
'verify:Check the integrity of the database and the logs' \
'export:Print running tasks and tasks that ended since a cursor, for another host that follows this one' \
'remote:Follow other hosts\: copy their tasks into this database, to be listed with the tasks of this host' \
'completions:Print shell completions' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'control commands' commands "$@"
}
(( $+functions[_control__subcmd__backup_commands] )) ||
_control__subcmd__backup_commands() {
    local commands; commands=()
    _describe -t commands 'control backup commands' commands "$@"
}
(( $+functions[_control__subcmd__check_commands] )) ||
_control__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'control check commands' commands "$@"
}
(( $+functions[_control__subcmd__clear_commands] )) ||
_control__subcmd__clear_commands() {
    local commands; commands=()
    _describe -t commands 'control clear commands' commands "$@"
}
(( $+functions[_control__subcmd__completions_commands] )) ||
_control__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'control completions commands' commands "$@"
}
(( $+functions[_control__subcmd__export_commands] )) ||
_control__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'control export commands' commands "$@"
}
(( $+functions[_control__subcmd__feedback_commands] )) ||
_control__subcmd__feedback_commands() {
    local commands; commands=()
    _describe -t commands 'control feedback commands' commands "$@"
}
(( $+functions[_control__subcmd__help_commands] )) ||
_control__subcmd__help_commands() {
    local commands; commands=(
'reserve:Reserve a task id and print it' \
'list:List tasks that have not ended' \
'show:Show all details of a task' \
'log:Print the output of a task' \
'feedback:Print the feedback of a task as a JSON object' \
'history:List ended tasks page by page, newest first' \
'wait:Wait until tasks have ended and print their results' \
'kill:End tasks with their whole process trees; cancel reservations' \
'killall:End all tasks with the given name' \
'update:Update stored durations and states, and record the end of dead tasks' \
'clear:Delete ended tasks from history, with their logs' \
'initialize:Create the database, or empty it\: all its contents are deleted' \
'stats:Summarize the runs of each name\: success rate, durations, last success and last failure' \
'check:Check the last success of a name\: exit with 0 if it is recent enough, 1 if not, 3 if none' \
'run-again:Launch a task again with the same command, folder, name and options' \
'backup:Write a copy of the database, even while it is in use' \
'verify:Check the integrity of the database and the logs' \
'export:Print running tasks and tasks that ended since a cursor, for another host that follows this one' \
'remote:Follow other hosts\: copy their tasks into this database, to be listed with the tasks of this host' \
'completions:Print shell completions' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'control help commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__backup_commands] )) ||
_control__subcmd__help__subcmd__backup_commands() {
    local commands; commands=()
    _describe -t commands 'control help backup commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__check_commands] )) ||
_control__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'control help check commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__clear_commands] )) ||
_control__subcmd__help__subcmd__clear_commands() {
    local commands; commands=()
    _describe -t commands 'control help clear commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__completions_commands] )) ||
_control__subcmd__help__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'control help completions commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__export_commands] )) ||
_control__subcmd__help__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'control help export commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__feedback_commands] )) ||
_control__subcmd__help__subcmd__feedback_commands() {
    local commands; commands=()
    _describe -t commands 'control help feedback commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__help_commands] )) ||
_control__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'control help help commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__history_commands] )) ||
_control__subcmd__help__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'control help history commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__initialize_commands] )) ||
_control__subcmd__help__subcmd__initialize_commands() {
    local commands; commands=()
    _describe -t commands 'control help initialize commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__kill_commands] )) ||
_control__subcmd__help__subcmd__kill_commands() {
    local commands; commands=()
    _describe -t commands 'control help kill commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__killall_commands] )) ||
_control__subcmd__help__subcmd__killall_commands() {
    local commands; commands=()
    _describe -t commands 'control help killall commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__list_commands] )) ||
_control__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'control help list commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__log_commands] )) ||
_control__subcmd__help__subcmd__log_commands() {
    local commands; commands=()
    _describe -t commands 'control help log commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__remote_commands] )) ||
_control__subcmd__help__subcmd__remote_commands() {
    local commands; commands=(
'add:Follow another host' \
'set:Change how a host is reached, keeping its tasks' \
'remove:Stop following a host and delete its tasks from this database' \
'list:List the remotes\: last contact, lag, last error, number of tasks' \
'test:Check whether a remote responds' \
'sync:Fetch new and changed tasks from all remotes or from the given ones' \
    )
    _describe -t commands 'control help remote commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__remote__subcmd__add_commands] )) ||
_control__subcmd__help__subcmd__remote__subcmd__add_commands() {
    local commands; commands=()
    _describe -t commands 'control help remote add commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__remote__subcmd__list_commands] )) ||
_control__subcmd__help__subcmd__remote__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'control help remote list commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__remote__subcmd__remove_commands] )) ||
_control__subcmd__help__subcmd__remote__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'control help remote remove commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__remote__subcmd__set_commands] )) ||
_control__subcmd__help__subcmd__remote__subcmd__set_commands() {
    local commands; commands=()
    _describe -t commands 'control help remote set commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__remote__subcmd__sync_commands] )) ||
_control__subcmd__help__subcmd__remote__subcmd__sync_commands() {
    local commands; commands=()
    _describe -t commands 'control help remote sync commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__remote__subcmd__test_commands] )) ||
_control__subcmd__help__subcmd__remote__subcmd__test_commands() {
    local commands; commands=()
    _describe -t commands 'control help remote test commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__reserve_commands] )) ||
_control__subcmd__help__subcmd__reserve_commands() {
    local commands; commands=()
    _describe -t commands 'control help reserve commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__run-again_commands] )) ||
_control__subcmd__help__subcmd__run-again_commands() {
    local commands; commands=()
    _describe -t commands 'control help run-again commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__show_commands] )) ||
_control__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'control help show commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__stats_commands] )) ||
_control__subcmd__help__subcmd__stats_commands() {
    local commands; commands=()
    _describe -t commands 'control help stats commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__update_commands] )) ||
_control__subcmd__help__subcmd__update_commands() {
    local commands; commands=()
    _describe -t commands 'control help update commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__verify_commands] )) ||
_control__subcmd__help__subcmd__verify_commands() {
    local commands; commands=()
    _describe -t commands 'control help verify commands' commands "$@"
}
(( $+functions[_control__subcmd__help__subcmd__wait_commands] )) ||
_control__subcmd__help__subcmd__wait_commands() {
    local commands; commands=()
    _describe -t commands 'control help wait commands' commands "$@"
}
(( $+functions[_control__subcmd__history_commands] )) ||
_control__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'control history commands' commands "$@"
}
(( $+functions[_control__subcmd__initialize_commands] )) ||
_control__subcmd__initialize_commands() {
    local commands; commands=()
    _describe -t commands 'control initialize commands' commands "$@"
}
(( $+functions[_control__subcmd__kill_commands] )) ||
_control__subcmd__kill_commands() {
    local commands; commands=()
    _describe -t commands 'control kill commands' commands "$@"
}
(( $+functions[_control__subcmd__killall_commands] )) ||
_control__subcmd__killall_commands() {
    local commands; commands=()
    _describe -t commands 'control killall commands' commands "$@"
}
(( $+functions[_control__subcmd__list_commands] )) ||
_control__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'control list commands' commands "$@"
}
(( $+functions[_control__subcmd__log_commands] )) ||
_control__subcmd__log_commands() {
    local commands; commands=()
    _describe -t commands 'control log commands' commands "$@"
}
(( $+functions[_control__subcmd__remote_commands] )) ||
_control__subcmd__remote_commands() {
    local commands; commands=(
'add:Follow another host' \
'set:Change how a host is reached, keeping its tasks' \
'remove:Stop following a host and delete its tasks from this database' \
'list:List the remotes\: last contact, lag, last error, number of tasks' \
'test:Check whether a remote responds' \
'sync:Fetch new and changed tasks from all remotes or from the given ones' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'control remote commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__add_commands] )) ||
_control__subcmd__remote__subcmd__add_commands() {
    local commands; commands=()
    _describe -t commands 'control remote add commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help_commands] )) ||
_control__subcmd__remote__subcmd__help_commands() {
    local commands; commands=(
'add:Follow another host' \
'set:Change how a host is reached, keeping its tasks' \
'remove:Stop following a host and delete its tasks from this database' \
'list:List the remotes\: last contact, lag, last error, number of tasks' \
'test:Check whether a remote responds' \
'sync:Fetch new and changed tasks from all remotes or from the given ones' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'control remote help commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help__subcmd__add_commands] )) ||
_control__subcmd__remote__subcmd__help__subcmd__add_commands() {
    local commands; commands=()
    _describe -t commands 'control remote help add commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help__subcmd__help_commands] )) ||
_control__subcmd__remote__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'control remote help help commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help__subcmd__list_commands] )) ||
_control__subcmd__remote__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'control remote help list commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help__subcmd__remove_commands] )) ||
_control__subcmd__remote__subcmd__help__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'control remote help remove commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help__subcmd__set_commands] )) ||
_control__subcmd__remote__subcmd__help__subcmd__set_commands() {
    local commands; commands=()
    _describe -t commands 'control remote help set commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help__subcmd__sync_commands] )) ||
_control__subcmd__remote__subcmd__help__subcmd__sync_commands() {
    local commands; commands=()
    _describe -t commands 'control remote help sync commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__help__subcmd__test_commands] )) ||
_control__subcmd__remote__subcmd__help__subcmd__test_commands() {
    local commands; commands=()
    _describe -t commands 'control remote help test commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__list_commands] )) ||
_control__subcmd__remote__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'control remote list commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__remove_commands] )) ||
_control__subcmd__remote__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'control remote remove commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__set_commands] )) ||
_control__subcmd__remote__subcmd__set_commands() {
    local commands; commands=()
    _describe -t commands 'control remote set commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__sync_commands] )) ||
_control__subcmd__remote__subcmd__sync_commands() {
    local commands; commands=()
    _describe -t commands 'control remote sync commands' commands "$@"
}
(( $+functions[_control__subcmd__remote__subcmd__test_commands] )) ||
_control__subcmd__remote__subcmd__test_commands() {
    local commands; commands=()
    _describe -t commands 'control remote test commands' commands "$@"
}
(( $+functions[_control__subcmd__reserve_commands] )) ||
_control__subcmd__reserve_commands() {
    local commands; commands=()
    _describe -t commands 'control reserve commands' commands "$@"
}
(( $+functions[_control__subcmd__run-again_commands] )) ||
_control__subcmd__run-again_commands() {
    local commands; commands=()
    _describe -t commands 'control run-again commands' commands "$@"
}
(( $+functions[_control__subcmd__show_commands] )) ||
_control__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'control show commands' commands "$@"
}
(( $+functions[_control__subcmd__stats_commands] )) ||
_control__subcmd__stats_commands() {
    local commands; commands=()
    _describe -t commands 'control stats commands' commands "$@"
}
(( $+functions[_control__subcmd__update_commands] )) ||
_control__subcmd__update_commands() {
    local commands; commands=()
    _describe -t commands 'control update commands' commands "$@"
}
(( $+functions[_control__subcmd__verify_commands] )) ||
_control__subcmd__verify_commands() {
    local commands; commands=()
    _describe -t commands 'control verify commands' commands "$@"
}
(( $+functions[_control__subcmd__wait_commands] )) ||
_control__subcmd__wait_commands() {
    local commands; commands=()
    _describe -t commands 'control wait commands' commands "$@"
}

if [ "$funcstack[1]" = "_control" ]; then
    _control "$@"
else
    compdef _control control
fi
