complete -c launch -l db -d 'Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c launch -l taskid -d 'Use this reservation (number or handle)' -r
complete -c launch -l name -l taskname -d 'Name of the task [default: the file name of the command]' -r
complete -c launch -l info1 -d 'Arbitrary text to store with the task' -r
complete -c launch -l info2 -d 'Arbitrary text to store with the task' -r
complete -c launch -l info3 -d 'Arbitrary text to store with the task' -r
complete -c launch -l feedpath -d 'Folder of the feedback file [default: the current folder, if the command has --feedback]' -r -f -a "(__fish_complete_directories)"
complete -c launch -l timeout -d 'End the task if its feedback file has not changed for this long [default: 30s if feedback is expected]' -r
complete -c launch -l max-runtime -d 'End the task after this long, regardless of its feedback' -r
complete -c launch -l stop-signal -d 'Signal that requests the task to end' -r -f -a "HUP\t''
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
complete -c launch -l kill-after -d 'Time between the stop signal and SIGKILL' -r
complete -c launch -l if-running -d 'What to do if a task with this name is already running (implies --unique)' -r -f -a "fail\t'Exit with 125'
skip\t'Do nothing and exit with 0'
wait\t'Wait for the running task to end, then start'"
complete -c launch -l log-max -d 'Maximum size of the log, beyond which the older half is dropped [default: 64M]' -r
complete -c launch -l command -d 'Command in one string, split by the quoting rules of the shell (no shell is run)' -r
complete -c launch -l unique -d 'Allow only one task with this name at a time'
complete -c launch -l detach -d 'Print the task id and return once the command runs; the task survives a logout'
complete -c launch -l no-log -d 'Keep no log: connect the command directly to the output of `launch`'
complete -c launch -l chronic -d 'Print nothing if the command succeeds, and all of its output if it fails (for cron)'
complete -c launch -l quiet -d 'Suppress all output of `launch` itself, including warnings'
complete -c launch -l fail-on-warnings -d 'Exit with 1 if the command exited with 0 but reported warnings'
complete -c launch -l keep-feedback -d 'Keep the feedback file after the end of the task'
complete -c launch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c launch -s V -l version -d 'Print version'
