{{/* The operator's settings; sluice_operator.settings says what each means. */}}
{{- define "sluice.operator.env" -}}
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: SLUICE_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: SLUICE_LEASE_NAME
  value: {{ include "sluice.operator.fullname" . | quote }}
{{- with .Values.operator.watchNamespaces }}
- name: SLUICE_WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: SLUICE_OBSERVE_MODE
  value: {{ lower .Values.operator.observeMode | quote }}
- name: SLUICE_LOG_LEVEL
  value: {{ .Values.operator.logLevel | quote }}
- name: SLUICE_LOG_FORMAT
  value: {{ .Values.operator.logFormat | quote }}
- name: SLUICE_CLUSTER_DOMAIN
  value: {{ .Values.clusterDomain | quote }}
- name: SLUICE_MEDIA_IMAGE
  value: {{ include "sluice.image" (dict "root" . "image" .Values.media.image) | quote }}
- name: SLUICE_IMAGE_PULL_POLICY
  value: {{ .Values.media.image.pullPolicy | quote }}
{{- with .Values.media.imagePullSecrets }}
- name: SLUICE_IMAGE_PULL_SECRETS
  value: {{ join "," . | quote }}
{{- end }}
- name: SLUICE_MEDIA_LOG_LEVEL
  value: {{ .Values.media.logLevel | quote }}
{{- with .Values.media.resources }}
- name: SLUICE_MEDIA_RESOURCES
  value: {{ toJson . | quote }}
{{- end }}
- name: SLUICE_GATEWAY_SERVICE
  value: {{ include "sluice.gateway.fullname" . | quote }}
{{- with include "sluice.gateway.publicHost" . }}
- name: SLUICE_GATEWAY_PUBLIC_HOST
  value: {{ . | quote }}
{{- end }}
{{- with include "sluice.gateway.publicRtmpPort" . }}
- name: SLUICE_GATEWAY_PUBLIC_RTMP_PORT
  value: {{ . | quote }}
{{- end }}
- name: SLUICE_DEFAULT_STORE
  value: {{ .Values.defaultMediaStore.enabled | quote }}
- name: SLUICE_DEFAULT_STORE_SIZE
  value: {{ .Values.defaultMediaStore.size | quote }}
{{- with .Values.defaultMediaStore.storageClassName }}
- name: SLUICE_DEFAULT_STORE_STORAGE_CLASS
  value: {{ . | quote }}
{{- end }}
{{- end -}}
