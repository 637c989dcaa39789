{{/* The paths on a node: the values', or else those of the distribution. JSON. */}}
{{- define "multus-py.paths" -}}
{{- $paths := dict -}}
{{- range list "common" .Values.distribution -}}
{{- $paths = (get ($.Files.Get "distributions.yaml" | fromYaml) .).paths | default dict | mergeOverwrite $paths -}}
{{- end -}}
{{- range $name, $path := .Values.paths -}}
{{- if $path -}}{{- $_ := set $paths $name $path -}}{{- end -}}
{{- end -}}
{{- toJson $paths -}}
{{- end -}}

{{/* The daemon's configuration. What mounts, ports and times depend on is read from here. JSON. */}}
{{- define "multus-py.settings" -}}
{{- $paths := include "multus-py.paths" . | fromJson -}}
{{- $settings := dict
  "cniConfigDir" $paths.config
  "multusAutoconfigDir" ($paths.primary | default $paths.config)
  "binDir" $paths.bin
  "confDir" $paths.definitions
  "cniDir" $paths.state
  "socketDir" $paths.socket
  "logLevel" .Values.log.level
  "logToStderr" .Values.log.toStderr
  "healthPort" .Values.healthPort
-}}
{{- $optional := dict
  "multusMasterCNI" .Values.primary.file
  "cniVersion" .Values.cniVersion
  "forceCNIVersion" .Values.forceCNIVersion
  "overrideNetworkName" .Values.overrideNetworkName
  "readinessindicatorfile" .Values.readinessIndicatorFile
  "namespaceIsolation" .Values.namespaceIsolation
  "globalNamespaces" .Values.globalNamespaces
  "legacyNetworks" .Values.legacyNetworks
  "logFile" .Values.log.file
  "logOptions" .Values.log.options
  "metricsPort" .Values.metrics.port
-}}
{{- range $key, $value := $optional -}}
{{- if $value -}}{{- $_ := set $settings $key $value -}}{{- end -}}
{{- end -}}
{{- if .Values.primary.configuration -}}
{{- $_ := set $settings "multusConfigFile" (printf "/etc/multus-py/%s" .Values.primary.configurationName) -}}
{{- end -}}
{{- with .Values.perNodeCertificate -}}
{{- if .enabled -}}
{{- $_ := dict
  "enabled" true
  "bootstrapKubeconfig" .bootstrapKubeconfig
  "certDir" (.certDir | default (printf "%s/certs" $paths.socket))
  "certDuration" .certDuration
  | set $settings "perNodeCertificate" -}}
{{- end -}}
{{- end -}}
{{- mergeOverwrite $settings (deepCopy .Values.daemonConfig) | toJson -}}
{{- end -}}

{{/* The time for a daemon to end: that of its requests, and some for what follows them. */}}
{{- define "multus-py.graceSeconds" -}}
{{- $settings := include "multus-py.settings" . | fromJson -}}
{{- $drain := 25 -}}
{{- if hasKey $settings "drainTimeout" -}}{{- $drain = $settings.drainTimeout -}}{{- end -}}
{{- add (int $drain) 15 -}}
{{- end -}}

{{/* The files that the daemon reads. */}}
{{- define "multus-py.files" -}}
daemon-config.json: |
  {{- include "multus-py.settings" . | fromJson | toPrettyJson | nindent 2 }}
{{- with .Values.primary }}
{{- if .configuration }}
{{ .configurationName }}: |
  {{- .configuration | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
