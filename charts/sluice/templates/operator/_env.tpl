{{/* The operator's settings. sluice_operator.settings describes each of them. */}}
{{- define "sluice.operator.env" -}}
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: SLUICE_POD_ADDRESSES
  valueFrom:
    fieldRef:
      fieldPath: status.podIPs
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
- name: SLUICE_RECORDER_SPOOL
  value: {{ .Values.media.spool.record | quote }}
- name: SLUICE_INGEST_SPOOL
  value: {{ .Values.media.spool.ingest | quote }}
- name: SLUICE_STORE_SCRATCH
  value: {{ .Values.media.spool.store | quote }}
{{- with .Values.media.storePriorityClassName }}
- name: SLUICE_STORE_PRIORITY_CLASS
  value: {{ . | quote }}
{{- end }}
- name: SLUICE_GATEWAY_SERVICE
  value: {{ include "sluice.gateway.fullname" . | quote }}
{{- with include "sluice.gateway.publicHost" . }}
- name: SLUICE_GATEWAY_PUBLIC_HOST
  value: {{ . | quote }}
{{- end }}
{{- if .Values.gateway.srt.enabled }}
- name: SLUICE_GATEWAY_SRT_SERVICE
  value: {{ include "sluice.gateway.srtService" . | quote }}
{{- with include "sluice.gateway.srtHost" . }}
- name: SLUICE_GATEWAY_PUBLIC_SRT_HOST
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- range splitList " " (include "sluice.gateway.protocols" .) }}
{{- $port := dict "values" $.Values.gateway "type" $.Values.gateway.service.type "name" . }}
{{- with include "sluice.publicPort" $port }}
- name: SLUICE_GATEWAY_PUBLIC_{{ upper $port.name }}_PORT
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if include "sluice.whip.on" . }}
- name: SLUICE_WHIP_SERVICE
  value: {{ include "sluice.whip.fullname" . | quote }}
{{- with include "sluice.whip.publicHost" . }}
- name: SLUICE_WHIP_PUBLIC_HOST
  value: {{ . | quote }}
{{- end }}
{{- with include "sluice.publicPort" (dict "values" .Values.whip "type" (include "sluice.whip.type" .) "name" "http") }}
- name: SLUICE_WHIP_PUBLIC_PORT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.whip.publicUrl }}
- name: SLUICE_WHIP_PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if .Values.edge.enabled }}
- name: SLUICE_EDGE_KEY_SECRET
  value: {{ include "sluice.edge.keySecret" . | quote }}
- name: SLUICE_EDGE_SERVICE
  value: {{ include "sluice.edge.fullname" . | quote }}
- name: SLUICE_EDGE_SERVICE_PORT
  value: {{ .Values.edge.service.ports.http | quote }}
{{- with include "sluice.edge.publicUrl" . }}
- name: SLUICE_EDGE_PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
{{- with include "sluice.edge.publicHost" . }}
- name: SLUICE_EDGE_PUBLIC_HOST
  value: {{ . | quote }}
{{- end }}
{{- with include "sluice.publicPort" (dict "values" .Values.edge "type" (include "sluice.edge.type" .) "name" "http") }}
- name: SLUICE_EDGE_PUBLIC_PORT
  value: {{ . | quote }}
{{- end }}
{{- end }}
- name: SLUICE_NETWORK_DENIED_RANGES
  value: {{ join "," .Values.network.deniedRanges | quote }}
{{- with .Values.network.clusterRanges }}
- name: SLUICE_NETWORK_CLUSTER_RANGES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.network.allowedRanges }}
- name: SLUICE_NETWORK_ALLOWED_RANGES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.network.allowedNames }}
- name: SLUICE_NETWORK_ALLOWED_NAMES
  value: {{ join "," . | quote }}
{{- end }}
- name: SLUICE_POD_TROUBLE_SECONDS
  value: {{ .Values.operator.podTroubleSeconds | quote }}
- name: SLUICE_DEFAULT_STORE
  value: {{ .Values.defaultMediaStore.enabled | quote }}
- name: SLUICE_DEFAULT_STORE_SIZE
  value: {{ .Values.defaultMediaStore.size | quote }}
{{- with .Values.defaultMediaStore.storageClassName }}
- name: SLUICE_DEFAULT_STORE_STORAGE_CLASS
  value: {{ . | quote }}
{{- end }}
{{- with .Values.defaultMediaStore.limit }}
- name: SLUICE_DEFAULT_STORE_LIMIT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.defaultMediaStore.s3 }}
{{- if .bucket }}
- name: SLUICE_DEFAULT_STORE_S3_BUCKET
  value: {{ .bucket | quote }}
- name: SLUICE_DEFAULT_STORE_S3_SERVICE_ACCOUNT
  value: {{ .serviceAccountName | quote }}
- name: SLUICE_DEFAULT_STORE_S3_ENDPOINT
  value: {{ .endpoint | quote }}
- name: SLUICE_DEFAULT_STORE_S3_REGION
  value: {{ .region | quote }}
- name: SLUICE_DEFAULT_STORE_S3_PREFIX
  value: {{ .prefix | quote }}
- name: SLUICE_DEFAULT_STORE_S3_PATH_STYLE
  value: {{ .pathStyle | quote }}
{{- end }}
{{- end }}
{{- end -}}
