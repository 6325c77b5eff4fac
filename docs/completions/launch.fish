complete -c launch -l db -d 'Database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]' -r -F
complete -c launch -l taskid -d 'Use this reservation (its number or handle)' -r
complete -c launch -l name -l taskname -d 'Name of the task [default: the command\'s file name]' -r
complete -c launch -l info1 -d 'Free side information' -r
complete -c launch -l info2 -d 'Free side information' -r
complete -c launch -l info3 -d 'Free side information' -r
complete -c launch -l feedpath -d 'Folder of its feedback file [default: the current one, when the command has --feedback]' -r -f -a "(__fish_complete_directories)"
complete -c launch -l timeout -d 'End it when its feedback file has not changed for so long [default: 30s when feedback is expected]' -r
complete -c launch -l max-runtime -d 'End it after this long, whatever it reports' -r
complete -c launch -l stop-signal -d 'The signal that asks it to end' -r -f -a "HUP\t''
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
complete -c launch -l kill-after -d 'SIGKILL follows after this' -r
complete -c launch -l if-running -d 'What a second start of the name does (implies --unique)' -r -f -a "fail\t'exit 125'
skip\t'do nothing, exit 0'
wait\t'start when the other has ended'"
complete -c launch -l log-max -d 'Longest log: past it, the older half is dropped [default: 64M]' -r
complete -c launch -l command -d 'The command in one string, split by the shell\'s quoting rules (no shell is run)' -r
complete -c launch -l unique -d 'Only one task of this name at a time'
complete -c launch -l detach -d 'Print the task id and return once the command runs; it survives a logout'
complete -c launch -l no-log -d 'Keep no log of its output: it goes straight to where launch\'s goes'
complete -c launch -l chronic -d 'Show nothing when it succeeds, and all of its output when it fails (for cron)'
complete -c launch -l quiet -d 'Add no line of launch\'s own, warnings included'
complete -c launch -l fail-on-warnings -d 'Exit 1 when the command exited 0 but reported warnings'
complete -c launch -l keep-feedback -d 'Keep the feedback file at the end'
complete -c launch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c launch -s V -l version -d 'Print version'
