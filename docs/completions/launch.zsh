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
'--db=[Database \[default\: \$TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db\]]:PATH:_files' \
'--taskid=[Use this reservation (its number or handle)]:ID:_default' \
'--name=[Name of the task \[default\: the command'\''s file name\]]:NAME:_default' \
'--taskname=[Name of the task \[default\: the command'\''s file name\]]:NAME:_default' \
'--info1=[Free side information]:TEXT:_default' \
'--info2=[Free side information]:TEXT:_default' \
'--info3=[Free side information]:TEXT:_default' \
'--feedpath=[Folder of its feedback file \[default\: the current one, when the command has --feedback\]]:DIR:_files -/' \
'--timeout=[End it when its feedback file has not changed for so long \[default\: 30s when feedback is expected\]]:DURATION:_default' \
'--max-runtime=[End it after this long, whatever it reports]:DURATION:_default' \
'--stop-signal=[The signal that asks it to end]:SIG:(HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS)' \
'--kill-after=[SIGKILL follows after this]:DURATION:_default' \
'--if-running=[What a second start of the name does (implies --unique)]:ACTION:((fail\:"exit 125"
skip\:"do nothing, exit 0"
wait\:"start when the other has ended"))' \
'(--no-log)--log-max=[Longest log\: past it, the older half is dropped \[default\: 64M\]]:SIZE:_default' \
'--command=[The command in one string, split by the shell'\''s quoting rules (no shell is run)]:STRING:_default' \
'--unique[Only one task of this name at a time]' \
'--detach[Print the task id and return once the command runs; it survives a logout]' \
'--no-log[Keep no log of its output\: it goes straight to where launch'\''s goes]' \
'--chronic[Show nothing when it succeeds, and all of its output when it fails (for cron)]' \
'--quiet[Add no line of launch'\''s own, warnings included]' \
'--fail-on-warnings[Exit 1 when the command exited 0 but reported warnings]' \
'--keep-feedback[Keep the feedback file at the end]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
'*::argv -- The command and its arguments:_cmdambivalent' \
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
