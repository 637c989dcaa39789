{{/* What the pods on nodes have in common. They run before there is a pod network, on every node. */}}
{{- define "multus-py.onNodes" -}}
serviceAccountName: {{ include "multus-py.fullname" . }}
automountServiceAccountToken: false
hostNetwork: true
dnsPolicy: Default
enableServiceLinks: false
priorityClassName: {{ .Values.priorityClassName }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  # The files of a node are root's, and root without capabilities is but their owner.
  runAsUser: 0
  runAsGroup: 0
  seccompProfile:
    type: RuntimeDefault
  {{- with include "multus-py.seLinuxType" . }}
  seLinuxOptions:
    type: {{ . }}
  {{- end }}
{{- end -}}

{{- define "multus-py.seLinuxType" -}}
{{- $known := get (.Files.Get "distributions.yaml" | fromYaml) .Values.distribution -}}
{{- .Values.seLinuxType | default $known.seLinuxType | default "" -}}
{{- end -}}

{{- define "multus-py.container" -}}
image: {{ include "multus-py.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
    {{- with .capabilities }}
    add: {{ toJson . }}
    {{- end }}
{{- end -}}

{{- define "multus-py.token" -}}
projected:
  # Not the default token, which API servers make good for a year.
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: {{ .Values.tokenSeconds }}
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
    - downwardAPI:
        items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
{{- end -}}

{{- define "multus-py.kubernetesService" -}}
{{- with .Values.kubernetesService }}
{{- if .host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .host | quote }}
{{- end }}
{{- if .port }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .port | quote }}
{{- end }}
{{- end }}
{{- end -}}
