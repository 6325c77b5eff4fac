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
complete -c supervise -n "__fish_supervise_needs_command" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_needs_command" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s u -l user -d 'Run as this user' -r
complete -c supervise -n "__fish_supervise_needs_command" -s m -l umask -d 'Umask in octal' -r
complete -c supervise -n "__fish_supervise_needs_command" -s d -l directory -d 'Change to this folder when going into the background' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s l -l logfile -d 'File of the activity log, or "none" for no log' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s e -l loglevel -d 'Level of the activity log: crit, error, warn, info, debug, trace' -r
complete -c supervise -n "__fish_supervise_needs_command" -s j -l pidfile -d 'File to write the process id to' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s i -l identifier -d 'Name of this supervisor' -r
complete -c supervise -n "__fish_supervise_needs_command" -l minfds -d 'Number of file descriptors that must be available' -r
complete -c supervise -n "__fish_supervise_needs_command" -l minprocs -d 'Number of processes that must be available' -r
complete -c supervise -n "__fish_supervise_needs_command" -l db -d 'Path of the database of tasks' -r -F
complete -c supervise -n "__fish_supervise_needs_command" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_needs_command" -s v -l version -d 'Print version'
complete -c supervise -n "__fish_supervise_needs_command" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_needs_command" -s n -l nodaemon -d 'Stay in the foreground'
complete -c supervise -n "__fish_supervise_needs_command" -l check -d 'Only check the configuration: exit with 0 if it is valid, 2 if not'
complete -c supervise -n "__fish_supervise_needs_command" -l dump -d 'With --check: print the configuration with all defaults filled in and environment values masked'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "status" -d 'Show the status of processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "start" -d 'Start processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "stop" -d 'Stop processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "restart" -d 'Stop processes and start them again'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "reload" -d 'Read the configuration again and apply the changes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "reread" -d 'Print what a reload would change'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "update" -d 'Reload only the given programs and groups'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "add" -d 'Add programs or groups that are new in the configuration'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "remove" -d 'Remove programs or groups from the supervisor'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "shutdown" -d 'Stop the supervisor and all of its processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "signal" -d 'Send a signal to processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "pid" -d 'Print process ids; without a name, the process id of the supervisor'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "tail" -d 'Print the last output of a process'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "maintail" -d 'Print the end of the activity log'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "clear" -d 'Empty the logs of processes'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "fg" -d 'Print the output of a process until it ends or until Ctrl-C, which does not affect the process'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "send" -d 'Write a line to the standard input of a process'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "avail" -d 'List the processes in the configuration'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "version" -d 'Print the version of the supervisor'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "history" -d 'List the ended runs of a process, newest first'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "subscribe" -d 'Print events as they happen, one per line; with --json, one JSON object per line'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "jobs" -d 'List jobs: processes with their job numbers'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "disown" -d 'Stop supervising processes, leaving them running'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "web" -d 'Serve the tasks of a database as web pages, without a supervisor'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "shell" -d 'Run actions line by line, with completion and job control'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "completions" -d 'Print shell completions'
complete -c supervise -n "__fish_supervise_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c supervise -n "__fish_supervise_using_subcommand status" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand status" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand status" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand status" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand status" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand status" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand start" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand start" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand start" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand start" -l until-settled -d 'Wait until each process runs or has used up its retries, instead of only for the first attempt'
complete -c supervise -n "__fish_supervise_using_subcommand start" -l no-wait -d 'Send the request and return without waiting for completion'
complete -c supervise -n "__fish_supervise_using_subcommand start" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand start" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand start" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l now -d 'Send SIGKILL immediately'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l no-wait -d 'Send the request and return without waiting for completion'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s y -l yes -d 'Skip the confirmation in the shell'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand stop" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l no-wait -d 'Send the request and return without waiting for completion'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s y -l yes -d 'Skip the confirmation in the shell'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand restart" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l server -d 'Reload only the supervisor\'s own settings'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l unix-http-server -l unix-http-socket -d 'Reload only the settings of the socket'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l inet-http-server -d 'Reload only the settings of the port'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l client -d 'Reload only the settings of the client'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l dry-run -d 'Print what would change, without applying it'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand reload" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand reread" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reread" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand reread" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand reread" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand reread" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand reread" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand update" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand update" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand update" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand update" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand update" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand update" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand add" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand add" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand add" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand add" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand add" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand add" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l stop -d 'Stop the processes first'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand remove" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l leave-running -d 'Leave the processes running, to be taken over by the next supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l no-wait -d 'Send the request and return without waiting for completion'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s y -l yes -d 'Skip the confirmation in the shell'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand shutdown" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l group -d 'Send the signal to the whole process group of each process'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand signal" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand pid" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand pid" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand pid" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l bytes -d 'Print the last N bytes (short form: -N) [default: 1600]' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l lines -d 'Print the last N lines' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l run -d 'Print the log of the run with this task number: both streams, with timestamps' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s f -l follow -d 'Keep printing new output'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l raw -d 'Print all bytes unchanged, even to a terminal'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand tail" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l bytes -d 'Print the last N bytes (short form: -N) [default: 1600]' -r
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l lines -d 'Print the last N lines' -r
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s f -l follow -d 'Keep printing new output'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l raw -d 'Print all bytes unchanged, even to a terminal'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand maintail" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand clear" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand clear" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand clear" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l raw -d 'Print all bytes unchanged, even to a terminal'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand fg" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand send" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand send" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand send" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand send" -l no-newline -d 'Omit the newline at the end'
complete -c supervise -n "__fish_supervise_using_subcommand send" -l interactive
complete -c supervise -n "__fish_supervise_using_subcommand send" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand send" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand avail" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand avail" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand avail" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand avail" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand avail" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand avail" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand version" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand version" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand version" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand version" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand version" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand version" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand history" -l limit -d 'Print at most N runs' -r
complete -c supervise -n "__fish_supervise_using_subcommand history" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand history" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand history" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand history" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand history" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand history" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand subscribe" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s x -l exec -d 'Run this command locally, with job references such as %1 replaced by process group ids' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s l -l long -d 'Include process ids and process group ids'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s p -l pids -d 'Print only process ids'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s r -l running -d 'List only running jobs'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s s -l stopped -d 'List only jobs paused by a signal'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand jobs" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l program -d 'Select all processes of this program' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l group -d 'Select all processes of this group' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l process -d 'Select this process' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s a -l all -d 'Select all processes'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s r -l running -d 'Select only running processes; without a name, all running processes'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s i -l interactive -d 'Start the shell after the action'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand disown" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand web" -l db -d 'Path of the database of tasks [default: as for control]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -l listen -d 'Address to serve pages on (for a socket: --socket PATH instead) [default: 127.0.0.1:8080]' -r
complete -c supervise -n "__fish_supervise_using_subcommand web" -l username -d 'Require this user name' -r
complete -c supervise -n "__fish_supervise_using_subcommand web" -l password-file -d 'Require the password in this file, which has one line and is readable only by its owner' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand web" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand web" -l allow-remote -d 'Serve other hosts even without a password'
complete -c supervise -n "__fish_supervise_using_subcommand web" -l allow-kill -d 'Allow users to end tasks from the page, which is otherwise read-only'
complete -c supervise -n "__fish_supervise_using_subcommand web" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand web" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand shell" -s r -l history -d 'File that stores the typed lines; "" for none [default: from the configuration file, else /tmp/taskmaster_history.txt, or for root ~/.local/state/taskwatcher/shell_history]' -r
complete -c supervise -n "__fish_supervise_using_subcommand shell" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l strict -d 'Exit at the first action that fails, with the exit code of that action, if the input is not a terminal'
complete -c supervise -n "__fish_supervise_using_subcommand shell" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand shell" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand completions" -s c -l configuration -l config -d 'Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand completions" -l serverurl -d 'Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else unix:///tmp/taskmaster.sock]' -r
complete -c supervise -n "__fish_supervise_using_subcommand completions" -l socket -d 'Path of the supervisor\'s socket, instead of --serverurl' -r -F
complete -c supervise -n "__fish_supervise_using_subcommand completions" -s h -l help -d 'Print help'
complete -c supervise -n "__fish_supervise_using_subcommand completions" -l json -d 'Print the supervisor\'s raw JSON response'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "status" -d 'Show the status of processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "start" -d 'Start processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "stop" -d 'Stop processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "restart" -d 'Stop processes and start them again'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "reload" -d 'Read the configuration again and apply the changes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "reread" -d 'Print what a reload would change'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "update" -d 'Reload only the given programs and groups'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "add" -d 'Add programs or groups that are new in the configuration'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "remove" -d 'Remove programs or groups from the supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "shutdown" -d 'Stop the supervisor and all of its processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "signal" -d 'Send a signal to processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "pid" -d 'Print process ids; without a name, the process id of the supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "tail" -d 'Print the last output of a process'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "maintail" -d 'Print the end of the activity log'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "clear" -d 'Empty the logs of processes'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "fg" -d 'Print the output of a process until it ends or until Ctrl-C, which does not affect the process'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "send" -d 'Write a line to the standard input of a process'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "avail" -d 'List the processes in the configuration'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "version" -d 'Print the version of the supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "history" -d 'List the ended runs of a process, newest first'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "subscribe" -d 'Print events as they happen, one per line; with --json, one JSON object per line'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "jobs" -d 'List jobs: processes with their job numbers'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "disown" -d 'Stop supervising processes, leaving them running'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "web" -d 'Serve the tasks of a database as web pages, without a supervisor'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "shell" -d 'Run actions line by line, with completion and job control'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "completions" -d 'Print shell completions'
complete -c supervise -n "__fish_supervise_using_subcommand help; and not __fish_seen_subcommand_from status start stop restart reload reread update add remove shutdown signal pid tail maintail clear fg send avail version history subscribe jobs disown web shell completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
