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
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-u+[Run as this user]:USER:_default' \
'--user=[Run as this user]:USER:_default' \
'-m+[Umask in octal]:OCTAL:_default' \
'--umask=[Umask in octal]:OCTAL:_default' \
'-d+[Change to this folder when going into the background]:DIR:_files' \
'--directory=[Change to this folder when going into the background]:DIR:_files' \
'-l+[File of the activity log, or "none" for no log]:FILE:_files' \
'--logfile=[File of the activity log, or "none" for no log]:FILE:_files' \
'-e+[Level of the activity log\: crit, error, warn, info, debug, trace]:LEVEL:_default' \
'--loglevel=[Level of the activity log\: crit, error, warn, info, debug, trace]:LEVEL:_default' \
'-j+[File to write the process id to]:FILE:_files' \
'--pidfile=[File to write the process id to]:FILE:_files' \
'-i+[Name of this supervisor]:NAME:_default' \
'--identifier=[Name of this supervisor]:NAME:_default' \
'--minfds=[Number of file descriptors that must be available]:N:_default' \
'--minprocs=[Number of processes that must be available]:N:_default' \
'--db=[Path of the database of tasks]:PATH:_files' \
'-h[Print help]' \
'--help[Print help]' \
'-v[Print version]' \
'--version[Print version]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'-n[Stay in the foreground]' \
'--nodaemon[Stay in the foreground]' \
'--check[Only check the configuration\: exit with 0 if it is valid, 2 if not]' \
'--dump[With --check\: print the configuration with all defaults filled in and environment values masked]' \
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
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(start)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'(--no-wait)--until-settled[Wait until each process runs or has used up its retries, instead of only for the first attempt]' \
'--no-wait[Send the request and return without waiting for completion]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(stop)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--now[Send SIGKILL immediately]' \
'--no-wait[Send the request and return without waiting for completion]' \
'-y[Skip the confirmation in the shell]' \
'--yes[Skip the confirmation in the shell]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(restart)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--no-wait[Send the request and return without waiting for completion]' \
'-y[Skip the confirmation in the shell]' \
'--yes[Skip the confirmation in the shell]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(reload)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'(--program --group --process)--server[Reload only the supervisor'\''s own settings]' \
'(--program --group --process)--unix-http-server[Reload only the settings of the socket]' \
'(--program --group --process)--unix-http-socket[Reload only the settings of the socket]' \
'(--program --group --process)--inet-http-server[Reload only the settings of the port]' \
'(--program --group --process)--client[Reload only the settings of the client]' \
'--dry-run[Print what would change, without applying it]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(reread)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
&& ret=0
;;
(update)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(add)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(remove)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--stop[Stop the processes first]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(shutdown)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--leave-running[Leave the processes running, to be taken over by the next supervisor]' \
'--no-wait[Send the request and return without waiting for completion]' \
'-y[Skip the confirmation in the shell]' \
'--yes[Skip the confirmation in the shell]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
&& ret=0
;;
(signal)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--group[Send the signal to the whole process group of each process]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
':signal -- Signal\: a name such as HUP or SIGHUP, or a number:_default' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(pid)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(tail)
_arguments "${_arguments_options[@]}" : \
'--bytes=[Print the last N bytes (short form\: -N) \[default\: 1600\]]:N:_default' \
'(--bytes)--lines=[Print the last N lines]:N:_default' \
'()--run=[Print the log of the run with this task number\: both streams, with timestamps]:TASK:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-f[Keep printing new output]' \
'--follow[Keep printing new output]' \
'(--json)--raw[Print all bytes unchanged, even to a terminal]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
':name -- Name of the process:_default' \
'::channel -- Log to print:(stdout stderr)' \
&& ret=0
;;
(maintail)
_arguments "${_arguments_options[@]}" : \
'--bytes=[Print the last N bytes (short form\: -N) \[default\: 1600\]]:N:_default' \
'(--bytes)--lines=[Print the last N lines]:N:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-f[Keep printing new output]' \
'--follow[Keep printing new output]' \
'(--json)--raw[Print all bytes unchanged, even to a terminal]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
&& ret=0
;;
(clear)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(fg)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'(--json)--raw[Print all bytes unchanged, even to a terminal]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
':name -- Name of the process:_default' \
&& ret=0
;;
(send)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--no-newline[Omit the newline at the end]' \
'--interactive[]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
':name -- Name of the process:_default' \
':text -- Line to send:_default' \
&& ret=0
;;
(avail)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
&& ret=0
;;
(version)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
'--limit=[Print at most N runs]:N:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
':name -- Name of the process:_default' \
&& ret=0
;;
(subscribe)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::events -- Events to print \[default\: all\]:(state config shutdown tick)' \
&& ret=0
;;
(jobs)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'(--program --group --process -l --long -p --pids -r --running -s --stopped)*-x+[Run this command locally, with job references such as %1 replaced by process group ids]:CMD:_default' \
'(--program --group --process -l --long -p --pids -r --running -s --stopped)*--exec=[Run this command locally, with job references such as %1 replaced by process group ids]:CMD:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'(-p --pids)-l[Include process ids and process group ids]' \
'(-p --pids)--long[Include process ids and process group ids]' \
'-p[Print only process ids]' \
'--pids[Print only process ids]' \
'(-s --stopped)-r[List only running jobs]' \
'(-s --stopped)--running[List only running jobs]' \
'-s[List only jobs paused by a signal]' \
'--stopped[List only jobs paused by a signal]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(disown)
_arguments "${_arguments_options[@]}" : \
'*--program=[Select all processes of this program]:NAME:_default' \
'*--group=[Select all processes of this group]:NAME:_default' \
'*--process=[Select this process]:NAME:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'(--program --group --process)-a[Select all processes]' \
'(--program --group --process)--all[Select all processes]' \
'-r[Select only running processes; without a name, all running processes]' \
'--running[Select only running processes; without a name, all running processes]' \
'-i[Start the shell after the action]' \
'--interactive[Start the shell after the action]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
'*::names -- Processes, programs, group\:*, or all:_default' \
&& ret=0
;;
(web)
_arguments "${_arguments_options[@]}" : \
'--db=[Path of the database of tasks \[default\: as for control\]]:PATH:_files' \
'--listen=[Address to serve pages on (for a socket\: --socket PATH instead) \[default\: 127.0.0.1\:8080\]]:HOST:PORT:_default' \
'--username=[Require this user name]:NAME:_default' \
'--password-file=[Require the password in this file, which has one line and is readable only by its owner]:FILE:_files' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--allow-remote[Serve other hosts even without a password]' \
'--allow-kill[Allow users to end tasks from the page, which is otherwise read-only]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
&& ret=0
;;
(shell)
_arguments "${_arguments_options[@]}" : \
'-r+[File that stores the typed lines; "" for none \[default\: from the configuration file, else /tmp/taskmaster_history.txt, or for root ~/.local/state/taskwatcher/shell_history\]]:FILE:_default' \
'--history=[File that stores the typed lines; "" for none \[default\: from the configuration file, else /tmp/taskmaster_history.txt, or for root ~/.local/state/taskwatcher/shell_history\]]:FILE:_default' \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'--strict[Exit at the first action that fails, with the exit code of that action, if the input is not a terminal]' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'-c+[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--configuration=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--config=[Configuration file \[default\: ./taskmaster.conf.toml, else ../taskmaster.conf.toml\]]:FILE:_files' \
'--serverurl=[Address of the supervisor\: unix\:///path or http\://host\:port \[default\: from the configuration file, else unix\:///tmp/taskmaster.sock\]]:URL:_default' \
'(--serverurl)--socket=[Path of the supervisor'\''s socket, instead of --serverurl]:PATH:_files' \
'-h[Print help]' \
'--help[Print help]' \
'--json[Print the supervisor'\''s raw JSON response]' \
':shell -- Shell to generate completions for:(bash elvish fish powershell zsh)' \
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
'status:Show the status of processes' \
'start:Start processes' \
'stop:Stop processes' \
'restart:Stop processes and start them again' \
'reload:Read the configuration again and apply the changes' \
'reread:Print what a reload would change' \
'update:Reload only the given programs and groups' \
'add:Add programs or groups that are new in the configuration' \
'remove:Remove programs or groups from the supervisor' \
'shutdown:Stop the supervisor and all of its processes' \
'signal:Send a signal to processes' \
'pid:Print process ids; without a name, the process id of the supervisor' \
'tail:Print the last output of a process' \
'maintail:Print the end of the activity log' \
'clear:Empty the logs of processes' \
'fg:Print the output of a process until it ends or until Ctrl-C, which does not affect the process' \
'send:Write a line to the standard input of a process' \
'avail:List the processes in the configuration' \
'version:Print the version of the supervisor' \
'history:List the ended runs of a process, newest first' \
'subscribe:Print events as they happen, one per line; with --json, one JSON object per line' \
'jobs:List jobs\: processes with their job numbers' \
'disown:Stop supervising processes, leaving them running' \
'web:Serve the tasks of a database as web pages, without a supervisor' \
'shell:Run actions line by line, with completion and job control' \
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
'status:Show the status of processes' \
'start:Start processes' \
'stop:Stop processes' \
'restart:Stop processes and start them again' \
'reload:Read the configuration again and apply the changes' \
'reread:Print what a reload would change' \
'update:Reload only the given programs and groups' \
'add:Add programs or groups that are new in the configuration' \
'remove:Remove programs or groups from the supervisor' \
'shutdown:Stop the supervisor and all of its processes' \
'signal:Send a signal to processes' \
'pid:Print process ids; without a name, the process id of the supervisor' \
'tail:Print the last output of a process' \
'maintail:Print the end of the activity log' \
'clear:Empty the logs of processes' \
'fg:Print the output of a process until it ends or until Ctrl-C, which does not affect the process' \
'send:Write a line to the standard input of a process' \
'avail:List the processes in the configuration' \
'version:Print the version of the supervisor' \
'history:List the ended runs of a process, newest first' \
'subscribe:Print events as they happen, one per line; with --json, one JSON object per line' \
'jobs:List jobs\: processes with their job numbers' \
'disown:Stop supervising processes, leaving them running' \
'web:Serve the tasks of a database as web pages, without a supervisor' \
'shell:Run actions line by line, with completion and job control' \
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
