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
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
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
'--name=[Name of the task; without one, its command'\''s file name will be it]:NAME:_default' \
'--taskname=[Name of the task; without one, its command'\''s file name will be it]:NAME:_default' \
'--info1=[Free side information]:TEXT:_default' \
'--info2=[Free side information]:TEXT:_default' \
'--info3=[Free side information]:TEXT:_default' \
'--expire=[The reservation lapses if it is not launched in this time]:DURATION:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--unique[Only if no task of the name is reserved or lives]' \
'--handle[Print the handle, which nobody can guess, instead of the number]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'*--outcome=[With --all\: only these outcomes\: ok, warnings, error, unknown]:OUTCOME:(ok warnings error unknown)' \
'*--status=[Only live tasks of these\: reserved, running, silent, stalled, stopping, orphaned]:STATUS:(RESERVED RUNNING SILENT STALLED STOPPING ORPHANED)' \
'--name=[Only tasks of this name]:NAME:_default' \
'--since=[Only tasks that started at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--until=[Only tasks that started at this time or earlier]:TIME:_default' \
'(--all --status)--remote=[The tasks of this remote instead of those of this host]:NAME:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--json --jsonl)--watch[Go on, and redraw at each change and every second]' \
'--all[Also those that ended last; of those that failed, why, and what they printed last]' \
'--jsonl[Print one JSON object a line]' \
'(--all --status --remote)--all-remotes[Also the tasks of all remotes]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- The task:_default' \
&& ret=0
;;
(log)
_arguments "${_arguments_options[@]}" : \
'(--start)--tail=[Only the last lines]:N:_default' \
'--start=[Pass over so many lines first]:N:_default' \
'--limit=[At most so many lines]:N:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'-f[Go on until the task has ended]' \
'--follow[Go on until the task has ended]' \
'--no-time[Leave the times out]' \
'(--json)--raw[Print every byte as it came, on a terminal too]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- The task:_default' \
&& ret=0
;;
(feedback)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- The task:_default' \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
'--name=[Only tasks of this name]:NAME:_default' \
'--taskname=[Only tasks of this name]:NAME:_default' \
'*--outcome=[Only these outcomes\: ok, warnings, error, unknown]:OUTCOME:(ok warnings error unknown)' \
'--since=[Only tasks that ended (with --remote and --all-remotes\: started) at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--until=[Only tasks that ended (with --remote and --all-remotes\: started) at this time or earlier]:TIME:_default' \
'--user=[Only tasks of this login]:USER:_default' \
'--limit=[Print at most N rows; 0 prints all]:N:_default' \
'--after=[Go on after the page that named this cursor]:CURSOR:_default' \
'(--after)--offset=[Pass over so many rows first]:N:_default' \
'--remote=[The tasks of this remote instead of those of this host, by their starts]:NAME:_default' \
'--node=[With --remote or --all-remotes\: only tasks of remotes that ran on this node]:NODE:_default' \
'--type=[With --remote or --all-remotes\: only tasks of remotes of this type, as their UPIDs name it]:TYPE:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--remote)--all-remotes[Those of this host and of all remotes, by their starts]' \
'--reverse[Oldest first]' \
'(--json)--jsonl[Print one JSON object a line; the next cursor goes to stderr]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(wait)
_arguments "${_arguments_options[@]}" : \
'--timeout=[Give up after this, with exit code 124]:DURATION:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--any[Until one of them has ended]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'*::tasks -- The tasks:_default' \
&& ret=0
;;
(kill)
_arguments "${_arguments_options[@]}" : \
'--signal=[End them with this signal \[default\: the one each was launched with\]]:SIG:(HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS)' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--signal)--now[With SIGKILL, at once]' \
'--no-wait[Return when they were asked, not when they have ended]' \
'--force[End runs of supervised programs too, past their supervisor, which then treats them as ended by themselves]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'*::tasks -- The tasks:_default' \
&& ret=0
;;
(killall)
_arguments "${_arguments_options[@]}" : \
'--signal=[End them with this signal \[default\: the one each was launched with\]]:SIG:(HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS)' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--signal)--now[With SIGKILL, at once]' \
'--no-wait[Return when they were asked, not when they have ended]' \
'--force[End runs of supervised programs too, past their supervisor, which then treats them as ended by themselves]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the tasks:_default' \
&& ret=0
;;
(update)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(clear)
_arguments "${_arguments_options[@]}" : \
'--older-than=[Only what ended longer ago than this]:DURATION:_default' \
'--name=[Only tasks of this name]:NAME:_default' \
'--taskname=[Only tasks of this name]:NAME:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'-y[Do not ask before deleting; without it a terminal is asked]' \
'--yes[Do not ask before deleting; without it a terminal is asked]' \
'(-y --yes)--dry-run[Print what would be deleted, and delete nothing]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(initialize)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--force[Even while tasks live]' \
'-y[Do not ask before deleting; without it a terminal is asked]' \
'--yes[Do not ask before deleting; without it a terminal is asked]' \
'(-y --yes)--dry-run[Print what would be deleted, and delete nothing]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(stats)
_arguments "${_arguments_options[@]}" : \
'--since=[Only runs that ended at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--json)--jsonl[Print one JSON object a line]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'::name -- Only runs of this name:_default' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--max-age=[The last success may be so long ago]:DURATION:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Name of the tasks:_default' \
&& ret=0
;;
(run-again)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--detach[Print the new task'\''s id and return once it runs]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':task -- The task:_default' \
&& ret=0
;;
(backup)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':file -- Where to write the copy; nothing may be there yet:_files' \
&& ret=0
;;
(verify)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--repair[Remove what belongs to no task\: logs, feedbacks]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
'--since=[Only what ended since this cursor, with which the last answer ended]:CURSOR:_default' \
'--limit=[Of the tasks new since then at most so many that have ended; the answer says if there are more]:N:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(remote)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
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
'--ssh=[A host that runs taskwatcher, reached by your own ssh with its configuration, keys and agent]:[USER@]HOST:_default' \
'--pve=[A Proxmox VE host, or any host of a cluster\: https\://HOST or https\://HOST\:PORT]:URL:_default' \
'--pbs=[A Proxmox Backup Server\: https\://HOST or https\://HOST\:PORT]:URL:_default' \
'(--pve --pbs)--remote-db=[With --ssh\: the database there \[default\: the one that control uses there\]]:PATH:_default' \
'(--ssh)--token=[With --pve and --pbs\: the name of an API token, like root@pam!watch]:USER@REALM!NAME:_default' \
'(--ssh)--secret-file=[With --pve and --pbs\: a file of mode 0600 that holds the token'\''s secret]:FILE:_files' \
'(--ssh)--fingerprint=[With --pve and --pbs\: take the certificate with this fingerprint and no other \[default\: those that this system trusts\]]:SHA256:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- A name for it, which stands before the UPIDs of its tasks:_default' \
&& ret=0
;;
(set)
_arguments "${_arguments_options[@]}" : \
'(--url --token --secret-file --fingerprint --no-fingerprint)--ssh=[Of a host reached by ssh\: the host]:[USER@]HOST:_default' \
'(--url --token --secret-file --fingerprint --no-fingerprint)--remote-db=[Of a host reached by ssh\: the database there]:PATH:_default' \
'--url=[Of a Proxmox host\: https\://HOST or https\://HOST\:PORT, of the same host or cluster]:URL:_default' \
'--token=[Of a Proxmox host\: the name of an API token]:USER@REALM!NAME:_default' \
'--secret-file=[Of a Proxmox host\: a file of mode 0600 that holds the token'\''s secret]:FILE:_files' \
'(--no-fingerprint)--fingerprint=[Of a Proxmox host\: take the certificate with this fingerprint and no other, as when it was renewed]:SHA256:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--remote-db --url --token --secret-file --fingerprint --no-fingerprint)--no-remote-db[Of a host reached by ssh\: the database that control uses there]' \
'--no-fingerprint[Of a Proxmox host\: take the certificates that this system trusts]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Its name:_default' \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Its name:_default' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(test)
_arguments "${_arguments_options[@]}" : \
'--timeout=[Give it up when it says nothing for so long \[default\: 60s\]]:DURATION:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':name -- Its name:_default' \
&& ret=0
;;
(sync)
_arguments "${_arguments_options[@]}" : \
'--every=[Go on, and ask each again after so long]:DURATION:_default' \
'--since=[With --refetch\: only what started at this time or later (a date, 2h, yesterday)]:TIME:_default' \
'--timeout=[Give a remote up when it says nothing for so long \[default\: 60s\]]:DURATION:_default' \
'--keep=[Afterwards forget what started longer ago than this on any remote, also on those that are not named]:DURATION:_default' \
'--keep-tasks=[Afterwards keep only so many ended tasks of all remotes, the newest]:N:_default' \
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'(--every)--refetch[Fetch all of their history again, not only what is new\: what is missing here comes back]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'*::names -- Only these:_default' \
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
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
':shell -- The shell:(bash elvish fish powershell zsh)' \
'::program -- The program to complete:(launch control parse supervise)' \
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
'reserve:Reserve a task id, and print it' \
'list:List the tasks that have not ended' \
'show:Tell everything about one task, running or ended' \
'log:Print what one task printed' \
'feedback:Print the feedback of one task as a JSON object' \
'history:Page through ended tasks, newest first' \
'wait:Wait until tasks have ended, and print their results' \
'kill:End tasks with their whole process trees; cancel reservations' \
'killall:End all tasks of a name' \
'update:Bring stored durations and states up to date, settle dead tasks' \
'clear:Delete history' \
'initialize:Create the database, or empty it\: all its contents are lost' \
'stats:Sum up the runs of each name\: success rate, durations, last success and failure' \
'check:Exit 0 if a task of this name succeeded lately, 1 if not, 3 if never' \
'run-again:Launch a task again\: the same command, folder, name and options' \
'backup:Write a copy of the database, while it is in use' \
'verify:Check that the database and the logs are whole' \
'export:Print the tasks that run and those that ended since a cursor, for another host that follows this one' \
'remote:Follow other hosts\: their tasks are kept here, to be listed with those of this host' \
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
'reserve:Reserve a task id, and print it' \
'list:List the tasks that have not ended' \
'show:Tell everything about one task, running or ended' \
'log:Print what one task printed' \
'feedback:Print the feedback of one task as a JSON object' \
'history:Page through ended tasks, newest first' \
'wait:Wait until tasks have ended, and print their results' \
'kill:End tasks with their whole process trees; cancel reservations' \
'killall:End all tasks of a name' \
'update:Bring stored durations and states up to date, settle dead tasks' \
'clear:Delete history' \
'initialize:Create the database, or empty it\: all its contents are lost' \
'stats:Sum up the runs of each name\: success rate, durations, last success and failure' \
'check:Exit 0 if a task of this name succeeded lately, 1 if not, 3 if never' \
'run-again:Launch a task again\: the same command, folder, name and options' \
'backup:Write a copy of the database, while it is in use' \
'verify:Check that the database and the logs are whole' \
'export:Print the tasks that run and those that ended since a cursor, for another host that follows this one' \
'remote:Follow other hosts\: their tasks are kept here, to be listed with those of this host' \
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
'add:Follow another host from now on' \
'set:Change how a host is reached, and keep its tasks' \
'remove:Follow a host no more, and forget its tasks' \
'list:List the remotes\: last contact, lag, last error, how many tasks' \
'test:Ask a remote whether it answers' \
'sync:Fetch what is new from all remotes, or from some' \
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
'add:Follow another host from now on' \
'set:Change how a host is reached, and keep its tasks' \
'remove:Follow a host no more, and forget its tasks' \
'list:List the remotes\: last contact, lag, last error, how many tasks' \
'test:Ask a remote whether it answers' \
'sync:Fetch what is new from all remotes, or from some' \
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
'add:Follow another host from now on' \
'set:Change how a host is reached, and keep its tasks' \
'remove:Follow a host no more, and forget its tasks' \
'list:List the remotes\: last contact, lag, last error, how many tasks' \
'test:Ask a remote whether it answers' \
'sync:Fetch what is new from all remotes, or from some' \
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
