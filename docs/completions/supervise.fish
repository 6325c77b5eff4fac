# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_supervise_global_optspecs
    string join \n c/configuration= h/help v/version serverurl= socket= json n/nodaemon u/user= m/umask= d/directory= l/logfile= e/loglevel= j/pidfile= i/identifier= minfds= minprocs= db= check dump
end

function __fish_supervise_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_supervise_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_supervise_using_subcommand
    set -l cmd (__fish_supervise_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c supervise -n "__fish_supervise_needs_command" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_needs_command" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s u -l user -d 'Run as this user' -r
complete -c supervise -n "__fish_supervise_needs_command" -s m -l umask -d 'The umask, in octal' -r
complete -c supervise -n "__fish_supervise_needs_command" -s d -l directory -d 'Go there when leaving the foreground' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s l -l logfile -d 'The activity log; none: keep none' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s e -l loglevel -d 'How much is logged: crit, error, warn, info, debug, trace' -r
complete -c supervise -n "__fish_supervise_needs_command" -s j -l pidfile -d 'The file with the process id' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s i -l identifier -d 'What this supervisor is called' -r
complete -c supervise -n "__fish_supervise_needs_command" -l minfds -d 'File descriptors that must be available' -r
complete -c supervise -n "__fish_supervise_needs_command" -l minprocs -d 'Processes that must be available' -r
complete -c supervise -n "__fish_supervise_needs_command" -l db -d 'The database of tasks' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_needs_command" -s v -l version -d 'Print version'
complete -c supervise -n "__fish_supervise_needs_command" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_needs_command" -s n -l nodaemon -d 'Stay in the foreground'
complete -c supervise -n "__fish_supervise_needs_command" -l check -d 'Only check the configuration: exit 0 if it is valid, 2 if not'
complete -c supervise -n "__fish_supervise_needs_command" -l dump -d 'With --check: print the configuration with everything filled in; values of environments are masked'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "status" -d 'Print how the processes are'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "start" -d 'Start processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "stop" -d 'Stop processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "restart" -d 'Stop processes and start them again'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "reload" -d 'Read the configuration again and do what follows from it'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "reread" -d 'Print what a reload would do'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "update" -d 'Reload these programs and groups only'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "add" -d 'Take programs or groups that are new in the configuration'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "remove" -d 'Give programs or groups up'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "shutdown" -d 'End the supervisor with all its processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "signal" -d 'Send a signal to processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "pid" -d 'Print process ids; without a name that of the supervisor'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "tail" -d 'Print what a process wrote last'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "maintail" -d 'Print the end of the activity log'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "clear" -d 'Empty the logs of processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "fg" -d 'Print what a process writes, until it ends or Ctrl-C; that does not touch the process'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "send" -d 'Write a line to the standard input of a process'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "avail" -d 'List what there is in the configuration'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "version" -d 'Print the version of the supervisor'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "history" -d 'List the runs of a process that have ended, newest first'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "subscribe" -d 'Print what happens from now on, a line each; with --json a JSON object each'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "jobs" -d 'List the jobs: processes with their job numbers'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "disown" -d 'Forget processes and leave them running'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "web" -d 'Show the tasks of a database as web pages, without a supervisor'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "shell" -d 'Take actions line by line, with completion and job control'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "completions" -d 'Print shell completions'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c supervise -n "__fish_supervise_using_subcommand status" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand status" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand status" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand status" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand status" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand start" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand start" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand start" -l until-settled -d 'Return when they run or are given up, not at the first try that fails'
complete -c supervise -n "__fish_supervise_using_subcommand start" -l no-wait -d 'Return when that was asked for, not when it is done'
complete -c supervise -n "__fish_supervise_using_subcommand start" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand start" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand start" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l now -d 'With SIGKILL, at once'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l no-wait -d 'Return when that was asked for, not when it is done'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s y -l yes -d 'In the shell: do not ask whether it is meant'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l no-wait -d 'Return when that was asked for, not when it is done'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s y -l yes -d 'In the shell: do not ask whether it is meant'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l server -d 'Only the supervisor\'s own settings'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l unix-http-server -l unix-http-socket -d 'Only its socket'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l inet-http-server -d 'Only its port'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l client -d 'Only the client\'s settings'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l dry-run -d 'Only print what would follow'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand reread" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reread" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand reread" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reread" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand reread" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand reread" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand update" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand update" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand update" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand update" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand update" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand add" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand add" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand add" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand add" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand add" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l stop -d 'Stop them first'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l leave-running -d 'Leave the processes running; the next supervisor takes them over'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l no-wait -d 'Return when that was asked for, not when it is done'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s y -l yes -d 'In the shell: do not ask whether it is meant'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l group -d 'To all in their process groups'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand pid" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand pid" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l bytes -d 'The last so many bytes; -N is short for it [default: 1600]' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l lines -d 'The last so many lines' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l run -d 'The log of its run with this task number: both streams, with times' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s f -l follow -d 'Go on with what is written from now on'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l raw -d 'Print every byte as it came, on a terminal too'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l bytes -d 'The last so many bytes; -N is short for it [default: 1600]' -r
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l lines -d 'The last so many lines' -r
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s f -l follow -d 'Go on with what is written from now on'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l raw -d 'Print every byte as it came, on a terminal too'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand clear" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand clear" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l raw -d 'Print every byte as it came, on a terminal too'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand send" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand send" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand send" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand send" -l no-newline -d 'Without an end of the line'
complete -c supervise -n "__fish_supervise_using_subcommand send" -l interactive
complete -c supervise -n "__fish_supervise_using_subcommand send" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand send" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand avail" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand avail" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand avail" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand avail" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand avail" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand avail" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand version" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand version" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand version" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand version" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand version" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand version" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand history" -l limit -d 'At most so many' -r
complete -c supervise -n "__fish_supervise_using_subcommand history" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand history" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand history" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand history" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand history" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand history" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s x -l exec -d 'Run this command here, with process group ids in the place of job references such as %1' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s l -l long -d 'With process and group ids'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s p -l pids -d 'Only process ids'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s r -l running -d 'Only those that run'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s s -l stopped -d 'Only those that a signal has paused'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l program -d 'All processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l group -d 'All processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l process -d 'This process' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s a -l all -d 'All'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s r -l running -d 'Only those that run; without a name all that do'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s i -l interactive -d 'Go on with the shell'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand web" -l db -d 'The database of tasks [default: as of control]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -l listen -d 'Where pages are served; with --socket PATH on a socket instead [default: 127.0.0.1:8080]' -r
complete -c supervise -n "__fish_supervise_using_subcommand web" -l username -d 'Ask for this name' -r
complete -c supervise -n "__fish_supervise_using_subcommand web" -l password-file -d 'And for the password in this file, one line that only its owner may read' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand web" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -l allow-remote -d 'Serve other hosts too although no password is asked for'
complete -c supervise -n "__fish_supervise_using_subcommand web" -l allow-kill -d 'Let people end tasks from the page; else it only shows'
complete -c supervise -n "__fish_supervise_using_subcommand web" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand web" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand shell" -s r -l history -d 'Keep what is typed in this file; "": nowhere [default: as the configuration file says, else /tmp/taskmaster_history.txt, or for root ~/.local/state/taskwatcher/shell_history]' -r
complete -c supervise -n "__fish_supervise_using_subcommand shell" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l strict -d 'End at the first action that fails, with its exit code, if the input is no terminal'
complete -c supervise -n "__fish_supervise_using_subcommand shell" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand completions" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand completions" -l serverurl -d 'Where the supervisor listens: unix:///path or http://host:port [default: as the configuration file says, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand completions" -l socket -d 'The same by the path of its socket' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand completions" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand completions" -l json -d 'Print what the supervisor answers as it is, JSON'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "status" -d 'Print how the processes are'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "start" -d 'Start processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "stop" -d 'Stop processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "restart" -d 'Stop processes and start them again'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "reload" -d 'Read the configuration again and do what follows from it'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "reread" -d 'Print what a reload would do'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "update" -d 'Reload these programs and groups only'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "add" -d 'Take programs or groups that are new in the configuration'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "remove" -d 'Give programs or groups up'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "shutdown" -d 'End the supervisor with all its processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "signal" -d 'Send a signal to processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "pid" -d 'Print process ids; without a name that of the supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "tail" -d 'Print what a process wrote last'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "maintail" -d 'Print the end of the activity log'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "clear" -d 'Empty the logs of processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "fg" -d 'Print what a process writes, until it ends or Ctrl-C; that does not touch the process'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "send" -d 'Write a line to the standard input of a process'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "avail" -d 'List what there is in the configuration'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "version" -d 'Print the version of the supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "history" -d 'List the runs of a process that have ended, newest first'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "subscribe" -d 'Print what happens from now on, a line each; with --json a JSON object each'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "jobs" -d 'List the jobs: processes with their job numbers'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "disown" -d 'Forget processes and leave them running'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "web" -d 'Show the tasks of a database as web pages, without a supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "shell" -d 'Take actions line by line, with completion and job control'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "completions" -d 'Print shell completions'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
