#compdef launch

autoload -U is-at-least

_launch() {
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
'--taskid=[Use this reservation (number or handle)]:ID:_default' \
'--name=[Name of the task \[default\: the file name of the command\]]:NAME:_default' \
'--taskname=[Name of the task \[default\: the file name of the command\]]:NAME:_default' \
'--info1=[Arbitrary text to store with the task]:TEXT:_default' \
'--info2=[Arbitrary text to store with the task]:TEXT:_default' \
'--info3=[Arbitrary text to store with the task]:TEXT:_default' \
'--feedpath=[Folder of the feedback file \[default\: the current folder, if the command has --feedback\]]:DIR:_files -/' \
'--timeout=[End the task if its feedback file has not changed for this long \[default\: 30s if feedback is expected\]]:DURATION:_default' \
'--max-runtime=[End the task after this long, regardless of its feedback]:DURATION:_default' \
'--stop-signal=[Signal that requests the task to end]:SIG:(HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS)' \
'--kill-after=[Time between the stop signal and SIGKILL]:DURATION:_default' \
'--if-running=[What to do if a task with this name is already running (implies --unique)]:ACTION:((fail\:"Exit with 125"
skip\:"Do nothing and exit with 0"
wait\:"Wait for the running task to end, then start"))' \
'(--no-log)--log-max=[Maximum size of the log, beyond which the older half is dropped \[default\: 64M\]]:SIZE:_default' \
'--command=[Command in one string, split by the quoting rules of the shell (no shell is run)]:STRING:_default' \
'--unique[Allow only one task with this name at a time]' \
'--detach[Print the task id and return once the command runs; the task survives a logout]' \
'--no-log[Keep no log\: connect the command directly to the output of \`launch\`]' \
'--chronic[Print nothing if the command succeeds, and all of its output if it fails (for cron)]' \
'--quiet[Suppress all output of \`launch\` itself, including warnings]' \
'--fail-on-warnings[Exit with 1 if the command exited with 0 but reported warnings]' \
'--keep-feedback[Keep the feedback file after the end of the task]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
'*::argv -- Command and its arguments:_cmdambivalent' \
&& ret=0
}

(( $+functions[_launch_commands] )) ||
_launch_commands() {
    local commands; commands=()
    _describe -t commands 'launch commands' commands "$@"
}

if [ "$funcstack[1]" = "_launch" ]; then
    _launch "$@"
else
    compdef _launch launch
fi
