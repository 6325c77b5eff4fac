#compdef supervise

autoload -U is-at-least

_supervise() {
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
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-u+[Run as this user]:USER:_default' \
'--user=[Run as this user]:USER:_default' \
'-m+[The umask, in octal]:OCTAL:_default' \
'--umask=[The umask, in octal]:OCTAL:_default' \
'-d+[Go there when leaving the foreground]:DIR:_files' \
'--directory=[Go there when leaving the foreground]:DIR:_files' \
'-l+[The activity log; none\: keep none]:FILE:_files' \
'--logfile=[The activity log; none\: keep none]:FILE:_files' \
'-e+[How much is logged\: crit, error, warn, info, debug, trace]:LEVEL:_default' \
'--loglevel=[How much is logged\: crit, error, warn, info, debug, trace]:LEVEL:_default' \
'-j+[The file with the process id]:FILE:_files' \
'--pidfile=[The file with the process id]:FILE:_files' \
'-i+[What this supervisor is called]:NAME:_default' \
'--identifier=[What this supervisor is called]:NAME:_default' \
'--minfds=[File descriptors that must be available]:N:_default' \
'--minprocs=[Processes that must be available]:N:_default' \
'--db=[The database of tasks]:PATH:_files' \
'-h[Print help]' \
'--help[Print help]' \
'-v[Print version]' \
'--version[Print version]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'-n[Stay in the foreground]' \
'--nodaemon[Stay in the foreground]' \
'--check[Only check the configuration\: exit 0 if it is valid, 2 if not]' \
'--dump[With --check\: print the configuration with everything filled in; values of environments are masked]' \
":: :_supervise_commands" \
"*::: :->supervise" \
&& ret=0
    case $state in
    (supervise)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:supervise-command-$line[1]:"
        case $line[1] in
            (status)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(start)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'(--no-wait)--until-settled[Return when they run or are given up, not at the first try that fails]' \
'--no-wait[Return when that was asked for, not when it is done]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(stop)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--now[With SIGKILL, at once]' \
'--no-wait[Return when that was asked for, not when it is done]' \
'-y[In the shell\: do not ask whether it is meant]' \
'--yes[In the shell\: do not ask whether it is meant]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(restart)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--no-wait[Return when that was asked for, not when it is done]' \
'-y[In the shell\: do not ask whether it is meant]' \
'--yes[In the shell\: do not ask whether it is meant]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(reload)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'(--program --group --process)--server[Only the supervisor'\''s own settings]' \
'(--program --group --process)--unix-http-server[Only its socket]' \
'(--program --group --process)--unix-http-socket[Only its socket]' \
'(--program --group --process)--inet-http-server[Only its port]' \
'(--program --group --process)--client[Only the client'\''s settings]' \
'--dry-run[Only print what would follow]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(reread)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
&& ret=0
;;
(update)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(add)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--stop[Stop them first]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(shutdown)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--leave-running[Leave the processes running; the next supervisor takes them over]' \
'--no-wait[Return when that was asked for, not when it is done]' \
'-y[In the shell\: do not ask whether it is meant]' \
'--yes[In the shell\: do not ask whether it is meant]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
&& ret=0
;;
(signal)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--group[To all in their process groups]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
':signal -- The signal\: a name such as HUP or SIGHUP, or a number:_default' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(pid)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(tail)
_arguments "${_arguments_options[@]}" : \
'--bytes=[The last so many bytes; -N is short for it \[default\: 1600\]]:N:_default' \
'(--bytes)--lines=[The last so many lines]:N:_default' \
'()--run=[The log of its run with this task number\: both streams, with times]:TASK:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-f[Go on with what is written from now on]' \
'--follow[Go on with what is written from now on]' \
'(--json)--raw[Print every byte as it came, on a terminal too]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
':name -- The process:_default' \
'::channel -- Which of its logs:(stdout stderr)' \
&& ret=0
;;
(maintail)
_arguments "${_arguments_options[@]}" : \
'--bytes=[The last so many bytes; -N is short for it \[default\: 1600\]]:N:_default' \
'(--bytes)--lines=[The last so many lines]:N:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-f[Go on with what is written from now on]' \
'--follow[Go on with what is written from now on]' \
'(--json)--raw[Print every byte as it came, on a terminal too]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
&& ret=0
;;
(clear)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(fg)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'(--json)--raw[Print every byte as it came, on a terminal too]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
':name -- The process:_default' \
&& ret=0
;;
(send)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--no-newline[Without an end of the line]' \
'--interactive[]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
':name -- The process:_default' \
':text -- The line:_default' \
&& ret=0
;;
(avail)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
&& ret=0
;;
(version)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
'--limit=[At most so many]:N:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
':name -- The process:_default' \
&& ret=0
;;
(subscribe)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::events -- Only these:(state config shutdown tick)' \
&& ret=0
;;
(jobs)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'(--program --group --process -l --long -p --pids -r --running -s --stopped)*-x+[Run this command here, with process group ids in the place of job references such as %1]:CMD:_default' \
'(--program --group --process -l --long -p --pids -r --running -s --stopped)*--exec=[Run this command here, with process group ids in the place of job references such as %1]:CMD:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'(-p --pids)-l[With process and group ids]' \
'(-p --pids)--long[With process and group ids]' \
'-p[Only process ids]' \
'--pids[Only process ids]' \
'(-s --stopped)-r[Only those that run]' \
'(-s --stopped)--running[Only those that run]' \
'-s[Only those that a signal has paused]' \
'--stopped[Only those that a signal has paused]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(disown)
_arguments "${_arguments_options[@]}" : \
'*--program=[All processes of this program]:NAME:_default' \
'*--group=[All processes of this group]:NAME:_default' \
'*--process=[This process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'(--program --group --process)-a[All]' \
'(--program --group --process)--all[All]' \
'-r[Only those that run; without a name all that do]' \
'--running[Only those that run; without a name all that do]' \
'-i[Go on with the shell]' \
'--interactive[Go on with the shell]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(web)
_arguments "${_arguments_options[@]}" : \
'--db=[The database of tasks \[default\: as of control\]]:PATH:_files' \
'--listen=[Where pages are served; with --socket PATH on a socket instead \[default\: 127.0.0.1\:8080\]]:HOST:PORT:_default' \
'--username=[Ask for this name]:NAME:_default' \
'--password-file=[And for the password in this file, one line that only its owner may read]:FILE:_files' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--allow-remote[Serve other hosts too although no password is asked for]' \
'--allow-kill[Let people end tasks from the page; else it only shows]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
&& ret=0
;;
(shell)
_arguments "${_arguments_options[@]}" : \
'-r+[Keep what is typed in this file; ""\: nowhere \[default\: as the configuration file says, else /tmp/taskmaster_history.txt, or for root ~/.local/state/taskwatcher/shell_history\]]:FILE:_default' \
'--history=[Keep what is typed in this file; ""\: nowhere \[default\: as the configuration file says, else /tmp/taskmaster_history.txt, or for root ~/.local/state/taskwatcher/shell_history\]]:FILE:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'--strict[End at the first action that fails, with its exit code, if the input is no terminal]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Where the supervisor listens\: unix\:///path or http\://host\:port \[default\: as the configuration file says, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[The same by the path of its socket]:PATH:_files' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print what the supervisor answers as it is, JSON]' \
':shell -- The shell:(bash elvish fish powershell zsh)' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_supervise__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:supervise-help-command-$line[1]:"
        case $line[1] in
            (status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(start)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(stop)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(restart)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reload)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(reread)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(update)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(add)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(shutdown)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(signal)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(pid)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(tail)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(maintail)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(clear)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(fg)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(send)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(avail)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(version)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(subscribe)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(jobs)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(disown)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(web)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(shell)
_arguments "${_arguments_options[@]}" : \
&& ret=0
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

(( $+functions[_supervise_commands] )) ||
_supervise_commands() {
    local commands; commands=(
'status:Print how the processes are' \
'start:Start processes' \
'stop:Stop processes' \
'restart:Stop processes and start them again' \
'reload:Read the configuration again and do what follows from it' \
'reread:Print what a reload would do' \
'update:Reload these programs and groups only' \
'add:Take programs or groups that are new in the configuration' \
'remove:Give programs or groups up' \
'shutdown:End the supervisor with all its processes' \
'signal:Send a signal to processes' \
'pid:Print process ids; without a name that of the supervisor' \
'tail:Print what a process wrote last' \
'maintail:Print the end of the activity log' \
'clear:Empty the logs of processes' \
'fg:Print what a process writes, until it ends or Ctrl-C; that does not touch the process' \
'send:Write a line to the standard input of a process' \
'avail:List what there is in the configuration' \
'version:Print the version of the supervisor' \
'history:List the runs of a process that have ended, newest first' \
'subscribe:Print what happens from now on, a line each; with --json a JSON object each' \
'jobs:List the jobs\: processes with their job numbers' \
'disown:Forget processes and leave them running' \
'web:Show the tasks of a database as web pages, without a supervisor' \
'shell:Take actions line by line, with completion and job control' \
'completions:Print shell completions' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'supervise commands' commands "$@"
}
(( $+functions[_supervise__subcmd__add_commands] )) ||
_supervise__subcmd__add_commands() {
    local commands; commands=()
    _describe -t commands 'supervise add commands' commands "$@"
}
(( $+functions[_supervise__subcmd__avail_commands] )) ||
_supervise__subcmd__avail_commands() {
    local commands; commands=()
    _describe -t commands 'supervise avail commands' commands "$@"
}
(( $+functions[_supervise__subcmd__clear_commands] )) ||
_supervise__subcmd__clear_commands() {
    local commands; commands=()
    _describe -t commands 'supervise clear commands' commands "$@"
}
(( $+functions[_supervise__subcmd__completions_commands] )) ||
_supervise__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'supervise completions commands' commands "$@"
}
(( $+functions[_supervise__subcmd__disown_commands] )) ||
_supervise__subcmd__disown_commands() {
    local commands; commands=()
    _describe -t commands 'supervise disown commands' commands "$@"
}
(( $+functions[_supervise__subcmd__fg_commands] )) ||
_supervise__subcmd__fg_commands() {
    local commands; commands=()
    _describe -t commands 'supervise fg commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help_commands] )) ||
_supervise__subcmd__help_commands() {
    local commands; commands=(
'status:Print how the processes are' \
'start:Start processes' \
'stop:Stop processes' \
'restart:Stop processes and start them again' \
'reload:Read the configuration again and do what follows from it' \
'reread:Print what a reload would do' \
'update:Reload these programs and groups only' \
'add:Take programs or groups that are new in the configuration' \
'remove:Give programs or groups up' \
'shutdown:End the supervisor with all its processes' \
'signal:Send a signal to processes' \
'pid:Print process ids; without a name that of the supervisor' \
'tail:Print what a process wrote last' \
'maintail:Print the end of the activity log' \
'clear:Empty the logs of processes' \
'fg:Print what a process writes, until it ends or Ctrl-C; that does not touch the process' \
'send:Write a line to the standard input of a process' \
'avail:List what there is in the configuration' \
'version:Print the version of the supervisor' \
'history:List the runs of a process that have ended, newest first' \
'subscribe:Print what happens from now on, a line each; with --json a JSON object each' \
'jobs:List the jobs\: processes with their job numbers' \
'disown:Forget processes and leave them running' \
'web:Show the tasks of a database as web pages, without a supervisor' \
'shell:Take actions line by line, with completion and job control' \
'completions:Print shell completions' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'supervise help commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__add_commands] )) ||
_supervise__subcmd__help__subcmd__add_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help add commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__avail_commands] )) ||
_supervise__subcmd__help__subcmd__avail_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help avail commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__clear_commands] )) ||
_supervise__subcmd__help__subcmd__clear_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help clear commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__completions_commands] )) ||
_supervise__subcmd__help__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help completions commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__disown_commands] )) ||
_supervise__subcmd__help__subcmd__disown_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help disown commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__fg_commands] )) ||
_supervise__subcmd__help__subcmd__fg_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help fg commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__help_commands] )) ||
_supervise__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help help commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__history_commands] )) ||
_supervise__subcmd__help__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help history commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__jobs_commands] )) ||
_supervise__subcmd__help__subcmd__jobs_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help jobs commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__maintail_commands] )) ||
_supervise__subcmd__help__subcmd__maintail_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help maintail commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__pid_commands] )) ||
_supervise__subcmd__help__subcmd__pid_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help pid commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__reload_commands] )) ||
_supervise__subcmd__help__subcmd__reload_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help reload commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__remove_commands] )) ||
_supervise__subcmd__help__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help remove commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__reread_commands] )) ||
_supervise__subcmd__help__subcmd__reread_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help reread commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__restart_commands] )) ||
_supervise__subcmd__help__subcmd__restart_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help restart commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__send_commands] )) ||
_supervise__subcmd__help__subcmd__send_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help send commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__shell_commands] )) ||
_supervise__subcmd__help__subcmd__shell_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help shell commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__shutdown_commands] )) ||
_supervise__subcmd__help__subcmd__shutdown_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help shutdown commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__signal_commands] )) ||
_supervise__subcmd__help__subcmd__signal_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help signal commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__start_commands] )) ||
_supervise__subcmd__help__subcmd__start_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help start commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__status_commands] )) ||
_supervise__subcmd__help__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help status commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__stop_commands] )) ||
_supervise__subcmd__help__subcmd__stop_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help stop commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__subscribe_commands] )) ||
_supervise__subcmd__help__subcmd__subscribe_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help subscribe commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__tail_commands] )) ||
_supervise__subcmd__help__subcmd__tail_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help tail commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__update_commands] )) ||
_supervise__subcmd__help__subcmd__update_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help update commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__version_commands] )) ||
_supervise__subcmd__help__subcmd__version_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help version commands' commands "$@"
}
(( $+functions[_supervise__subcmd__help__subcmd__web_commands] )) ||
_supervise__subcmd__help__subcmd__web_commands() {
    local commands; commands=()
    _describe -t commands 'supervise help web commands' commands "$@"
}
(( $+functions[_supervise__subcmd__history_commands] )) ||
_supervise__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'supervise history commands' commands "$@"
}
(( $+functions[_supervise__subcmd__jobs_commands] )) ||
_supervise__subcmd__jobs_commands() {
    local commands; commands=()
    _describe -t commands 'supervise jobs commands' commands "$@"
}
(( $+functions[_supervise__subcmd__maintail_commands] )) ||
_supervise__subcmd__maintail_commands() {
    local commands; commands=()
    _describe -t commands 'supervise maintail commands' commands "$@"
}
(( $+functions[_supervise__subcmd__pid_commands] )) ||
_supervise__subcmd__pid_commands() {
    local commands; commands=()
    _describe -t commands 'supervise pid commands' commands "$@"
}
(( $+functions[_supervise__subcmd__reload_commands] )) ||
_supervise__subcmd__reload_commands() {
    local commands; commands=()
    _describe -t commands 'supervise reload commands' commands "$@"
}
(( $+functions[_supervise__subcmd__remove_commands] )) ||
_supervise__subcmd__remove_commands() {
    local commands; commands=()
    _describe -t commands 'supervise remove commands' commands "$@"
}
(( $+functions[_supervise__subcmd__reread_commands] )) ||
_supervise__subcmd__reread_commands() {
    local commands; commands=()
    _describe -t commands 'supervise reread commands' commands "$@"
}
(( $+functions[_supervise__subcmd__restart_commands] )) ||
_supervise__subcmd__restart_commands() {
    local commands; commands=()
    _describe -t commands 'supervise restart commands' commands "$@"
}
(( $+functions[_supervise__subcmd__send_commands] )) ||
_supervise__subcmd__send_commands() {
    local commands; commands=()
    _describe -t commands 'supervise send commands' commands "$@"
}
(( $+functions[_supervise__subcmd__shell_commands] )) ||
_supervise__subcmd__shell_commands() {
    local commands; commands=()
    _describe -t commands 'supervise shell commands' commands "$@"
}
(( $+functions[_supervise__subcmd__shutdown_commands] )) ||
_supervise__subcmd__shutdown_commands() {
    local commands; commands=()
    _describe -t commands 'supervise shutdown commands' commands "$@"
}
(( $+functions[_supervise__subcmd__signal_commands] )) ||
_supervise__subcmd__signal_commands() {
    local commands; commands=()
    _describe -t commands 'supervise signal commands' commands "$@"
}
(( $+functions[_supervise__subcmd__start_commands] )) ||
_supervise__subcmd__start_commands() {
    local commands; commands=()
    _describe -t commands 'supervise start commands' commands "$@"
}
(( $+functions[_supervise__subcmd__status_commands] )) ||
_supervise__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'supervise status commands' commands "$@"
}
(( $+functions[_supervise__subcmd__stop_commands] )) ||
_supervise__subcmd__stop_commands() {
    local commands; commands=()
    _describe -t commands 'supervise stop commands' commands "$@"
}
(( $+functions[_supervise__subcmd__subscribe_commands] )) ||
_supervise__subcmd__subscribe_commands() {
    local commands; commands=()
    _describe -t commands 'supervise subscribe commands' commands "$@"
}
(( $+functions[_supervise__subcmd__tail_commands] )) ||
_supervise__subcmd__tail_commands() {
    local commands; commands=()
    _describe -t commands 'supervise tail commands' commands "$@"
}
(( $+functions[_supervise__subcmd__update_commands] )) ||
_supervise__subcmd__update_commands() {
    local commands; commands=()
    _describe -t commands 'supervise update commands' commands "$@"
}
(( $+functions[_supervise__subcmd__version_commands] )) ||
_supervise__subcmd__version_commands() {
    local commands; commands=()
    _describe -t commands 'supervise version commands' commands "$@"
}
(( $+functions[_supervise__subcmd__web_commands] )) ||
_supervise__subcmd__web_commands() {
    local commands; commands=()
    _describe -t commands 'supervise web commands' commands "$@"
}

if [ "$funcstack[1]" = "_supervise" ]; then
    _supervise "$@"
else
    compdef _supervise supervise
fi
