complete -c parse -l feedback -d 'Print the values of a feedback file as one JSON object (-: standard input)' -r -F
complete -c parse -l log -d 'Print a task log of the Proxmox API (JSON) as text (-: standard input)' -r -F
complete -c parse -l upid -d 'Print the fields of a UPID as one JSON object' -r
complete -c parse -l follow -d 'Keep running and print a new object on each change'
complete -c parse -l strict -d 'List every ignored line with its number, and exit with 1 if there are any'
complete -c parse -s d -l debug -d 'Report on standard error what is read and which lines are ignored'
complete -c parse -s h -l help -d 'Print help'
complete -c parse -s V -l version -d 'Print version'
