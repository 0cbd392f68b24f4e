{{- define "export-center.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "export-center.labels" -}}
app.kubernetes.io/name: export-center
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "export-center.selector" -}}
app.kubernetes.io/name: export-center
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "export-center.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The configuration of every role: what values say, over it the paths that the chart mounts. */ -}}
{{- define "export-center.config" -}}
{{- $s := .Values.secrets -}}
{{- $config := deepCopy .Values.config -}}
{{- $over := dict
    "listen" "0.0.0.0:8480" "admin_listen" "0.0.0.0:9480" "data_dir" "/var/lib/export-center"
    "store" (dict "driver" "mongodb" "uri_file" "/run/secrets/mongodb/uri")
    "staging" (dict "driver" "s3")
    "workers" (dict "scratch_dir" "/scratch")
    "log" (dict "form" "json")
    "links" (dict "key_file" "/run/secrets/links/key")
    "webhooks" (dict "key_file" "/run/secrets/webhooks/key") -}}
{{- if $s.authority.existingSecret -}}
{{- $_ := set $over "authority" (dict "folder" "/run/secrets/authority") -}}
{{- end -}}
{{- if $s.nats.existingSecret -}}
{{- $_ := set $over "nats" (dict "password_file" "/run/secrets/nats/password") -}}
{{- end -}}
{{- if $s.staging.existingSecret -}}
{{- $_ := set $over.staging "secret_access_key_file" "/run/secrets/staging/secret-access-key" -}}
{{- end -}}
{{- if $s.object.existingSecret -}}
{{- $_ := set $over "object" (dict "secret_access_key_file" "/run/secrets/object/secret-access-key") -}}
{{- end -}}
{{- if $s.signing.existingSecret -}}
{{- $_ := set $over "signing" (dict "key_file" "/run/secrets/signing/cosign.key" "password_file" "/run/secrets/signing/cosign.password") -}}
{{- end -}}
{{- $config = mustMergeOverwrite $config $over -}}
{{- range $key := keys $config | sortAlpha }}
{{- $value := get $config $key }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "export-center.toml" $value }}
{{- end }}
{{- end }}
{{- range $section := keys $config | sortAlpha }}
{{- $values := get $config $section }}
{{- if kindIs "map" $values }}

[{{ $section }}]
{{- range $key := keys $values | sortAlpha }}
{{ $key }} = {{ include "export-center.toml" (get $values $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Which secrets a role reads, as a comma list of their names in values. */ -}}
{{- define "export-center.reads" -}}
{{- get (dict
    "gateway" "nats,mongodb,staging,signing,links,webhooks,authority"
    "orchestrator" "nats,mongodb,staging,object,webhooks"
    "plan" "nats,mongodb,staging"
    "resolve" "nats,mongodb,staging"
    "adapt" "nats,mongodb,staging"
    "manifest" "nats,staging"
    "sign" "nats,staging,signing"
    "distribute" "nats,staging,object") . -}}
{{- end -}}

{{- /* A value in TOML. Helm reads every number as a float, which settings do not take. */ -}}
{{- define "export-center.toml" -}}
{{- if kindIs "slice" . -}}
[{{ range $at, $item := . }}{{ if $at }}, {{ end }}{{ include "export-center.toml" $item }}{{ end }}]
{{- else if kindIs "map" . -}}
{ {{- $map := . -}}{{ range $at, $key := keys . | sortAlpha }}{{ if $at }}, {{ end }}{{ toJson $key }} = {{ include "export-center.toml" (get $map $key) }}{{ end -}} }
{{- else if kindIs "float64" . -}}
{{ int64 . }}
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}
