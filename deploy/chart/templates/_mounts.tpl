{{/*
Directories of the node, each under its own path in the container. A list of mounts is JSON: `path`
on the node, `at` in the container if that differs, and `write`. Whoever makes a directory can
remove it again only if the one above it is mounted; for those below a `cni` that one is.
*/}}

{{/* The directory to mount so that this one can be made and removed. */}}
{{- define "multus-py.root" -}}
{{- regexReplaceAll "^(.*/cni)/.*$" . "${1}" -}}
{{- end -}}

{{/* Once each, the first mention; none that holds more than is ours. */}}
{{- define "multus-py.checkedMounts" -}}
{{- $whole := list
  "/" "/boot" "/dev" "/etc" "/etc/kubernetes" "/home" "/mnt" "/opt" "/proc" "/root" "/run" "/srv" "/sys" "/tmp"
  "/usr" "/usr/lib" "/usr/libexec" "/usr/local"
  "/var" "/var/lib" "/var/lib/containerd" "/var/lib/kubelet" "/var/lib/rancher" "/var/run" "/var/snap"
-}}
{{- $checked := list -}}
{{- $seen := dict -}}
{{- range . -}}
{{- $path := clean .path -}}
{{- if and (has $path $whole) (not .whole) -}}
{{- fail (printf "%s is too much of the node to be mounted: use a directory below it" $path) -}}
{{- end -}}
{{- if not (hasKey $seen $path) -}}
{{- $_ := set $seen $path true -}}
{{- $checked = append $checked (set . "path" $path) -}}
{{- end -}}
{{- end -}}
{{- toJson $checked -}}
{{- end -}}

{{- define "multus-py.daemonMounts" -}}
{{- $settings := include "multus-py.settings" . | fromJson -}}
{{- $paths := include "multus-py.paths" . | fromJson -}}
{{- $mounts := list
  (dict "path" $settings.cniConfigDir "write" true)
  (dict "path" $settings.cniDir "write" true)
  (dict "path" $settings.socketDir "write" true)
  (dict "path" "/run/k8s.cni.cncf.io" "write" true)
-}}
{{- with $settings.logFile -}}
{{- $mounts = append $mounts (dict "path" (dir .) "write" true) -}}
{{- end -}}
{{- $certificate := $settings.perNodeCertificate | default dict -}}
{{- if $certificate.enabled -}}
{{- if not (hasPrefix (printf "%s/" $settings.socketDir) $certificate.certDir) -}}
{{- $mounts = append $mounts (dict "path" $certificate.certDir "write" true) -}}
{{- end -}}
{{- range prepend $.Values.perNodeCertificate.credentials $certificate.bootstrapKubeconfig -}}
{{- $mounts = append $mounts (dict "path" .) -}}
{{- end -}}
{{- end -}}
{{- $mounts = concat $mounts (list
  (dict "path" $settings.multusAutoconfigDir)
  (dict "path" $settings.binDir)
  (dict "path" (include "multus-py.root" $settings.confDir))
  (dict "path" (printf "%s/pod-resources" $paths.kubelet) "at" "/var/lib/kubelet/pod-resources")
  (dict "path" (printf "%s/device-plugins" $paths.kubelet) "at" "/var/lib/kubelet/device-plugins")
) -}}
{{- with $settings.readinessindicatorfile -}}
{{- $mounts = append $mounts (dict "path" (dir .)) -}}
{{- end -}}
{{- $own := $settings.multusConfigFile | default "auto" -}}
{{- if not (or (eq $own "auto") (hasPrefix "/etc/multus-py/" $own)) -}}
{{- $mounts = append $mounts (dict "path" (dir $own)) -}}
{{- end -}}
{{- include "multus-py.checkedMounts" $mounts -}}
{{- end -}}

{{- define "multus-py.installMounts" -}}
{{- $settings := include "multus-py.settings" . | fromJson -}}
{{- $paths := include "multus-py.paths" . | fromJson -}}
{{- include "multus-py.checkedMounts" (list
  (dict "path" (include "multus-py.root" $paths.bin) "write" true)
  (dict "path" (include "multus-py.root" $paths.lib) "write" true)
  (dict "path" (include "multus-py.root" $settings.cniDir) "write" true)
  (dict "path" $settings.socketDir "write" true)
  (dict "path" (include "multus-py.root" $settings.cniConfigDir))
) -}}
{{- end -}}

{{/* All that an installation may have made; the directory of the socket is one in /run. */}}
{{- define "multus-py.removalMounts" -}}
{{- $settings := include "multus-py.settings" . | fromJson -}}
{{- $paths := include "multus-py.paths" . | fromJson -}}
{{- include "multus-py.checkedMounts" (list
  (dict "path" (include "multus-py.root" $settings.cniConfigDir) "write" true)
  (dict "path" (include "multus-py.root" $paths.bin) "write" true)
  (dict "path" (include "multus-py.root" $paths.lib) "write" true)
  (dict "path" (include "multus-py.root" $settings.cniDir) "write" true)
  (dict "path" (regexReplaceAll "^(/run|/var/run)/[^/]+$" $settings.socketDir "${1}") "write" true "whole" true)
) -}}
{{- end -}}

{{- define "multus-py.volumeName" -}}
{{- . | trimPrefix "/" | replace "/" "-" | replace "." "-" | replace "_" "-" | lower | trunc -63 | trimAll "-" -}}
{{- end -}}

{{- define "multus-py.volumeMounts" -}}
{{- range . }}
- name: {{ include "multus-py.volumeName" .path }}
  mountPath: {{ .at | default .path }}
  {{- if not .write }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end -}}

{{- define "multus-py.volumes" -}}
{{- $seen := dict -}}
{{- range . }}
{{- if not (hasKey $seen .path) }}
{{- $_ := set $seen .path true }}
- name: {{ include "multus-py.volumeName" .path }}
  hostPath:
    path: {{ .path }}
{{- end }}
{{- end }}
{{- end -}}
