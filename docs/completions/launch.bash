_launch() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="launch"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        launch)
            opts="-h -V --db --taskid --taskname --name --info1 --info2 --info3 --feedpath --timeout --max-runtime --stop-signal --kill-after --unique --if-running --detach --no-log --log-max --chronic --quiet --fail-on-warnings --keep-feedback --command --help --version"
            [[ ${cur} == -* ]] || opts=""
            # The command is the first word that is no option, nor the value of one.
            i=1
            while [[ ${i} -lt ${COMP_CWORD} ]]; do
                case "${COMP_WORDS[i]}" in
                    --)
                        i=$((i + 1))
                        break
                        ;;
                    --db|--taskid|--name|--taskname|--info1|--info2|--info3|--feedpath|--timeout|--max-runtime|--stop-signal|--kill-after|--if-running|--log-max|--command)
                        [[ "${COMP_WORDS[i + 1]}" == "=" ]] && i=$((i + 1))
                        i=$((i + 2))
                        ;;
                    -*)
                        i=$((i + 1))
                        ;;
                    *)
                        break
                        ;;
                esac
            done
            if [[ ${i} -lt ${COMP_CWORD} ]]; then
                return 0
            fi
            if [[ ${i} -eq ${COMP_CWORD} && -n ${cur} && ${cur} != -* ]]; then
                COMPREPLY=( $(compgen -c -- "${cur}") )
                return 0
            fi
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --db)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --taskid)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --taskname)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --info1)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --info2)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --info3)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --feedpath)
                    COMPREPLY=()
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o plusdirs
                    fi
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-runtime)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --stop-signal)
                    COMPREPLY=($(compgen -W "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS" -- "${cur}"))
                    return 0
                    ;;
                --kill-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --if-running)
                    COMPREPLY=($(compgen -W "fail skip wait" -- "${cur}"))
                    return 0
                    ;;
                --log-max)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --command)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _launch -o nosort -o bashdefault -o default launch
else
    complete -F _launch -o bashdefault -o default launch
fi
