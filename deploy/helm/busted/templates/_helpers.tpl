{{- define "busted.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "busted.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "busted.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- /* 50 of the 63 characters: objects of it add words behind. */ -}}
{{- printf "%s-%s" .Release.Name (include "busted.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "busted.selector" -}}
app.kubernetes.io/name: {{ include "busted.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "busted.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "busted.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "busted.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "busted.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "busted.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "busted.tokenSecret" -}}
{{- .Values.metrics.existingSecret | default (printf "%s-metrics" (include "busted.fullname" .)) -}}
{{- end -}}

{{- define "busted.policyConfigMap" -}}
{{- .Values.policy.existingConfigMap | default (printf "%s-policies" (include "busted.fullname" .)) -}}
{{- end -}}

{{- define "busted.policyDirectory" -}}
{{- if .Values.policy.shipped -}}
/usr/share/busted/policies/{{ .Values.policy.shipped }}
{{- else -}}
/etc/busted/policies
{{- end -}}
{{- end -}}

{{- /* A list as YAML, of what docs/privileges.md lists for these kernels. */ -}}
{{- define "busted.capabilities" -}}
{{- $names := list "BPF" "PERFMON" "SYS_PTRACE" "DAC_READ_SEARCH" "CHECKPOINT_RESTORE" "NET_ADMIN" -}}
{{- $enforces := eq .Values.features.enforce "enforce" -}}
{{- $oldest := printf "%s.0" .Values.security.oldestKernel -}}
{{- if or $enforces (semverCompare "<6.6.0" $oldest) -}}
{{- $names = append $names "SYS_ADMIN" -}}
{{- end -}}
{{- if semverCompare "<5.11.0" $oldest -}}
{{- $names = append $names "SYS_RESOURCE" -}}
{{- end -}}
{{- if $enforces -}}
{{- $names = append $names "KILL" -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{- /* The arguments of the command, as a YAML list. */ -}}
{{- define "busted.arguments" -}}
{{- $f := .Values.features -}}
{{- $arguments := list "monitor" "--format" "json" "--content" $f.content "--network" $f.network -}}
{{- if ne $f.files "none" -}}
{{- $arguments = concat $arguments (list "--file-monitor" $f.files) -}}
{{- end -}}
{{- if $f.identity -}}
{{- $arguments = concat $arguments (list "--identity-store" "/var/lib/busted/identities.db") -}}
{{- end -}}
{{- $arguments = concat $arguments (list "--config" "/etc/busted/config/config.toml" "--socket" "/run/busted/busted.sock") -}}
{{- if $f.stdout -}}
{{- $arguments = concat $arguments (list "--output" "stdout") -}}
{{- end -}}
{{- if $f.history -}}
{{- $arguments = concat $arguments (list "--output" "history:/var/lib/busted/history.db") -}}
{{- end -}}
{{- if $f.otlp -}}
{{- $arguments = concat $arguments (list "--output" (printf "otlp:%s" $f.otlp)) -}}
{{- end -}}
{{- if $f.nats -}}
{{- $arguments = concat $arguments (list "--output" (printf "nats:%s" $f.nats)) -}}
{{- end -}}
{{- if $f.metrics -}}
{{- $arguments = concat $arguments (list "--metrics" (printf "0.0.0.0:%v" .Values.metrics.port) "--metrics-token-file" "/etc/busted/metrics/token") -}}
{{- end -}}
{{- if $f.policy -}}
{{- $arguments = concat $arguments (list "--policy" (include "busted.policyDirectory" .)) -}}
{{- with .Values.policy.onError -}}
{{- $arguments = concat $arguments (list "--on-error" .) -}}
{{- end -}}
{{- if eq $f.enforce "shadow" -}}
{{- $arguments = append $arguments "--shadow" -}}
{{- else if eq $f.enforce "enforce" -}}
{{- $arguments = concat $arguments (list "--enforce" "--on-deny" .Values.policy.onDeny) -}}
{{- if not $f.hold -}}
{{- $arguments = append $arguments "--no-hold" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $arguments .Values.extraArgs) -}}
{{- end -}}

{{- /* The configuration file: the operator's, behind what features say. */ -}}
{{- define "busted.config" -}}
{{- if not (regexMatch "(?m)^[[:space:]]*\\[kubernetes\\]" .Values.config) -}}
[kubernetes]
enabled = {{ ternary "auto" "off" .Values.features.kubernetes | quote }}
{{ end -}}
{{- .Values.config -}}
{{- end -}}

{{- /* What would render, but not work. */ -}}
{{- define "busted.check" -}}
{{- $f := .Values.features -}}
{{- $p := .Values.policy -}}
{{- if and (ne $f.enforce "off") (not $f.policy) -}}
{{- fail "features.enforce needs features.policy: nothing is denied without a policy" -}}
{{- end -}}
{{- if and $f.ui .Values.hostNetwork -}}
{{- fail "features.ui needs hostNetwork=false: on the loopback of a node all its users could read what agents say" -}}
{{- end -}}
{{- $given := 0 -}}
{{- range list $p.shipped $p.files $p.existingConfigMap -}}{{- if . -}}{{- $given = add1 $given -}}{{- end -}}{{- end -}}
{{- if and $f.policy (ne (int $given) 1) -}}
{{- fail "features.policy needs one of policy.shipped, policy.files and policy.existingConfigMap" -}}
{{- end -}}
{{- end -}}
